//! Tables that are made of other tables: observation periods, eras, visit roll-ups, person summaries.
