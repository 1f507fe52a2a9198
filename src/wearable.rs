//! Wearable feeds by the All of Us Fitbit names, and their daily roll-up.
