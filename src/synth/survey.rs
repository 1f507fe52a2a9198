//! What participants say of themselves and wear: surveys with All of Us question and answer concepts,
//! and what a Fitbit says of their days and nights.

use super::calendar::{Day, Moment, REFERENCE};
use super::health::{Chart, Table};
use super::people::GROUPS;
use super::random::{Purpose, Rng};
use super::vocabulary::code;

const SKIP: u32 = 903_096;
const PREFER_NOT: u32 = 903_079;
const DONT_KNOW: u32 = 903_087;
const COPE: u32 = 1_333_342;
const COPE_MAY_2020: u32 = 2_100_000_002;

impl Chart<'_> {
    /// The Basics, Lifestyle and Overall Health, answered on the day of consent, and a COPE survey for
    /// some who had joined by May 2020.
    pub fn write_surveys(&mut self) {
        let mut rng = Rng::new(self.seed, Purpose::Survey, u64::from(self.index), 0);
        let day = Day(self.person.consent.0.min(self.last_day().0));
        let basics = self.conduct((1_586_134, 1_586_134), day, 620);
        let answers = self.basics(&mut rng);
        for (question, answer) in answers {
            self.answer(&mut rng, basics, day, question, answer);
        }
        self.address(&mut rng, basics, day);
        let lifestyle = self.conduct((1_585_855, 1_585_855), day, 640);
        let smoked = if rng.permille(400) { 1_585_858 } else { 1_585_859 };
        // How many is only asked of who smoked.
        if self.answer(&mut rng, lifestyle, day, 1_585_857, smoked) == 1_585_858 {
            let cigarettes = 1 + rng.below(30);
            self.number(lifestyle, day, 1_585_864, cigarettes);
        }
        let overall = self.conduct((1_585_710, 1_585_710), day, 660);
        let health = 1_585_712 + rng.weighted(&[10, 30, 34, 20, 6]) as u32;
        let health = if rng.permille(20) { DONT_KNOW } else { health };
        self.answer(&mut rng, overall, day, 1_585_711, health);
        let may = Day::new(2020, 5, 7).0 + rng.below(24) as i32;
        if day.0 < may && may <= self.last_day().0 && rng.permille(500) {
            let cope = self.conduct((COPE, COPE_MAY_2020), Day(may), 600);
            let worried = if rng.permille(500) { 2_100_100_002 } else { 2_100_100_003 };
            self.answer(&mut rng, cope, Day(may), 2_100_100_001, worried);
        }
    }

    fn basics(&self, rng: &mut Rng) -> Vec<(u32, u32)> {
        let (female, age) = (self.person.female, self.person.age());
        let race = match GROUPS[self.person.group] {
            "afr" => 1_586_143,
            "amr" => 1_586_147,
            "eas" | "sas" => 1_586_142,
            "mid" => 1_586_144,
            "eur" => 1_586_146,
            _ => 1_586_148,
        };
        let gender = if rng.permille(10) {
            1_585_841
        } else if female {
            1_585_840
        } else {
            1_585_839
        };
        let employment = match age {
            65.. => 1_585_959,
            ..25 if rng.permille(500) => 1_585_958,
            _ => 1_585_953,
        };
        let mut answers = vec![(1_586_140, race)];
        // Some tick two boxes, as people of mixed descent do.
        if rng.permille(40) && race != 1_586_146 {
            answers.push((1_586_140, 1_586_146));
        }
        answers.extend([
            (1_585_838, gender),
            (1_585_845, if female { 1_585_847 } else { 1_585_846 }),
            (1_585_899, if rng.permille(930) { 1_585_900 } else { 1_585_903 }),
            (1_585_940, 1_585_943 + rng.weighted(&[3, 6, 20, 28, 24, 19]) as u32),
            (1_585_952, employment),
        ]);
        answers
    }

    fn conduct(&mut self, (survey, version): (u32, u32), day: Day, minute: u32) -> i64 {
        let (row, id) = (self.id(), self.person.id);
        let (start, end) = (Moment(day, minute), Moment(day, minute + 15));
        self.lines(Table::Survey).row(format_args!(
            "{row},{id},{survey},{day},{start},{day},{end},,0,0,0,0,,,,,{},{version},{row},0,,1,,",
            code(version)
        ));
        row
    }

    fn answer(&mut self, rng: &mut Rng, conduct: i64, day: Day, question: u32, answer: u32) -> u32 {
        let answer = match rng.below(100) {
            0 => SKIP,
            1 => PREFER_NOT,
            _ => answer,
        };
        let (row, id) = (self.id(), self.person.id);
        let at = Moment(day, 630);
        self.lines(Table::Observation).row(format_args!(
            "{row},{id},{question},{day},{at},32865,,,{answer},0,0,,,,{},{question},,,{},,0,{conduct}",
            code(question),
            code(answer),
        ));
        answer
    }

    fn number(&mut self, conduct: i64, day: Day, question: u32, number: u64) {
        let (row, id) = (self.id(), self.person.id);
        let at = Moment(day, 641);
        self.lines(Table::Observation).row(format_args!(
            "{row},{id},{question},{day},{at},32865,{number},,0,0,0,,,,{},{question},,,{number},,0,{conduct}",
            code(question),
        ));
    }

    /// Address lines: text that no tier may show.
    fn address(&mut self, rng: &mut Rng, conduct: i64, day: Day) {
        let (house, zip) = (1 + rng.below(999), 90_000 + rng.below(100));
        for (question, text) in
            [(1_585_246, format!("\"{house} Fake Street, Apt 1\"")), (1_585_250, zip.to_string())]
        {
            let (row, id) = (self.id(), self.person.id);
            let at = Moment(day, 631);
            self.lines(Table::Observation).row(format_args!(
                "{row},{id},{question},{day},{at},32865,,{text},0,0,0,,,,{},{question},,,,,0,{conduct}",
                code(question),
            ));
        }
    }

    /// A month of daily activity and a week of heart rates and sleep for a fifth of the people: up to the day
    /// before the reference date for a quarter of them, else at any time of some three years before it.
    pub fn write_wearables(&mut self) {
        let mut rng = Rng::new(self.seed, Purpose::Wearable, u64::from(self.index), 0);
        if !rng.permille(200) || self.person.death.is_some() {
            return;
        }
        let id = self.person.id;
        let usual = 4000.0 + 5000.0 * rng.unit();
        let since = if rng.permille(250) { 0 } else { rng.below(1100) as i32 };
        for back in (1..=30).rev() {
            let day = REFERENCE.plus(-back - since);
            let steps = (usual * (0.5 + rng.unit())) as u32;
            let active = steps / 300;
            let (resting, moving) = (1400 + rng.below(300), steps / 22);
            let out = resting + u64::from(moving);
            self.lines(Table::Activity).row(format_args!(
                "{id},{day},{moving},{resting},{out},{}.5,{},{},{},{},{},{steps},{},fake-site-1",
                steps / 400,
                active / 2,
                steps / 1500,
                active * 6,
                moving / 2,
                1100 - active * 8,
                active / 3,
            ));
        }
        for back in (1..=7).rev() {
            self.write_night(&mut rng, REFERENCE.plus(-back - since));
        }
    }

    /// Zones of the day's heart rate, and the night before it.
    fn write_night(&mut self, rng: &mut Rng, day: Day) {
        let id = self.person.id;
        let fast = rng.below(60);
        for (zone, low, high, minutes) in
            [("Out of Range", 30, 100, 1440 - fast), ("Fat Burn", 101, 140, fast)]
        {
            self.lines(Table::HeartRate).row(format_args!(
                "{id},{day},{zone},{low},{high},{minutes},{}.5,fake-site-1",
                minutes * 2
            ));
        }
        let (light, deep, wake) = (200 + rng.below(120), 60 + rng.below(60), rng.below(40));
        let (asleep, bed) = (light + deep, light + deep + wake);
        self.lines(Table::Sleep).row(format_args!(
            "{id},{day},true,{bed},{asleep},0,{wake},0,{deep},{light},0,{wake},fake-site-1"
        ));
        let mut minute = 0;
        for (level, long) in [("light", light), ("deep", deep), ("wake", wake)] {
            self.lines(Table::SleepLevel).row(format_args!(
                "{id},{day},true,{level},{},{long}.0,fake-site-1",
                Moment(day, minute)
            ));
            minute += long as u32;
        }
    }
}
