//! What may happen to a log, as a small language: random programs are drawn from it, and one that fails can be typed
//! again.

use crate::support::scanning::Numbers;
use std::fmt::{self, Display};
use std::str::FromStr;

/// How a directory keeps its rotated files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `app.log.1` is the newest.
    Numbered,
    /// `app.log-20261124`: later days are newer.
    Dated,
    /// `app.log` is a symbolic link to the newest day.
    Linked,
}

/// How much of a line is written before the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// So little that it is no event without the rest.
    Stub,
    /// Anything, the phrase and part of what follows it included.
    Deep,
    /// All but the newline.
    Bare,
}

/// What happens to one directory, or to the process that follows them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Whole lines are appended, this many of them accesses.
    Write(usize),
    /// A line is begun.
    Partial(Cut),
    /// The line that was begun is finished.
    Finish,
    /// The file is renamed, and another made at once or with the next line.
    Rename { creates: bool },
    /// Three times in a row lines are written and the file is renamed.
    Thrice,
    /// Lines are appended to the file that was renamed last.
    Late(usize),
    /// The file is copied and truncated, and this many accesses are written between the two.
    CopyTruncate { late: usize },
    /// The file is copied and truncated, and is at once larger than before.
    Regrow,
    /// The newest rotated file is compressed.
    Compress,
    /// The file is deleted.
    Delete,
    /// The oldest rotated file is deleted.
    DeleteOldest,
    /// The file is deleted and made again with other lines.
    Recreate,
    /// The file is moved to where nothing is looked for.
    Move,
    /// The link points to another file.
    Switch,
    /// Nothing.
    Rest,
    /// `kill -9`.
    Kill,
    /// The process is asked to end.
    Stop,
    /// It is started again.
    Start,
    /// All waits until all that can be counted is.
    Sync,
    /// So many milliseconds go by.
    Pause(u64),
}

/// What happens in one directory from its making to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    pub(crate) naming: Naming,
    pub(crate) manner: Manner,
    /// Whether there are logs before storagewatch is started for the first time.
    pub(crate) old: bool,
    pub(crate) steps: Vec<Step>,
}

/// What kind of programs to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Nothing happens that could lose a line.
    Gentle,
    /// Files are deleted, compressed before they were read, and written to before they are truncated.
    Rough,
}

impl Step {
    /// Whether it is about the process and so the same in all programs that run together.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Kill | Self::Stop | Self::Start | Self::Sync | Self::Pause(_))
    }

    /// A step of one directory.
    fn draw(numbers: &mut Numbers, naming: Naming, manner: Manner) -> Self {
        let cut = |numbers: &mut Numbers| [Cut::Stub, Cut::Deep, Cut::Bare][numbers.below(3)];
        let creates = numbers.below(2) == 0;
        match numbers.below(24) {
            0..6 => Self::Write(1 + numbers.below(4)),
            6..8 => Self::Partial(cut(numbers)),
            8 => Self::Finish,
            9..12 if naming == Naming::Linked => Self::Switch,
            9..12 => Self::Rename { creates },
            12 if naming != Naming::Linked => Self::Thrice,
            13..15 => Self::Late(1 + numbers.below(2)),
            15..17 if manner == Manner::Rough => Self::CopyTruncate { late: numbers.below(3) },
            15..17 => Self::CopyTruncate { late: 0 },
            17 => Self::Regrow,
            18 => Self::Compress,
            19 if manner == Manner::Rough => Self::Delete,
            20 if manner == Manner::Rough => Self::DeleteOldest,
            21 if manner == Manner::Rough => Self::Recreate,
            22 => Self::Rest,
            23 => Self::Move,
            _ => Self::Write(1),
        }
    }
}

impl Program {
    /// Programs that run together: what they share is the same in each.
    pub(crate) fn draw(seed: u64, manner: Manner, count: usize) -> Vec<Self> {
        let mut numbers = Numbers(seed);
        let shared = shared_steps(&mut numbers);
        (0..count)
            .map(|_| {
                let naming = match numbers.below(5) {
                    0 => Naming::Linked,
                    1 => Naming::Dated,
                    _ => Naming::Numbered,
                };
                let mut own = || Step::draw(&mut numbers, naming, manner);
                let steps = shared.iter().map(|shared| shared.unwrap_or_else(&mut own)).collect();
                Self { naming, manner, old: numbers.below(3) == 0, steps }
            })
            .collect()
    }
}

/// When the process is killed, started and waited for, and between them where each directory has a step of its own.
fn shared_steps(numbers: &mut Numbers) -> Vec<Option<Step>> {
    let (mut steps, mut up) = (vec![], true);
    for _ in 0..14 + numbers.below(8) {
        steps.push(None);
        match numbers.below(12) {
            0..4 => steps.push(Some(Step::Pause(numbers.next() % 160))),
            4..6 if up => steps.push(Some(Step::Sync)),
            6..8 if up => {
                steps.push(Some(Step::Kill));
                up = false;
            }
            8 if up => {
                steps.push(Some(Step::Stop));
                up = false;
            }
            4..9 => {
                steps.push(Some(Step::Start));
                up = true;
            }
            _ => {}
        }
    }
    if !up {
        steps.push(Some(Step::Start));
    }
    steps
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(lines) => write!(f, "write {lines}"),
            Self::Partial(Cut::Stub) => f.write_str("partial stub"),
            Self::Partial(Cut::Deep) => f.write_str("partial deep"),
            Self::Partial(Cut::Bare) => f.write_str("partial bare"),
            Self::Finish => f.write_str("finish"),
            Self::Rename { creates: true } => f.write_str("rename create"),
            Self::Rename { creates: false } => f.write_str("rename"),
            Self::Thrice => f.write_str("thrice"),
            Self::Late(lines) => write!(f, "late {lines}"),
            Self::CopyTruncate { late } => write!(f, "copytruncate {late}"),
            Self::Regrow => f.write_str("regrow"),
            Self::Compress => f.write_str("compress"),
            Self::Delete => f.write_str("delete"),
            Self::DeleteOldest => f.write_str("delete oldest"),
            Self::Recreate => f.write_str("recreate"),
            Self::Move => f.write_str("move"),
            Self::Switch => f.write_str("switch"),
            Self::Rest => f.write_str("rest"),
            Self::Kill => f.write_str("kill"),
            Self::Stop => f.write_str("stop"),
            Self::Start => f.write_str("start"),
            Self::Sync => f.write_str("sync"),
            Self::Pause(milliseconds) => write!(f, "pause {milliseconds}"),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no step");
        let (name, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let number = || rest.parse().map_err(|_| wrong());
        Ok(match (name, rest) {
            ("write", _) => Self::Write(number()?),
            ("partial", "stub") => Self::Partial(Cut::Stub),
            ("partial", "deep") => Self::Partial(Cut::Deep),
            ("partial", "bare") => Self::Partial(Cut::Bare),
            ("finish", "") => Self::Finish,
            ("rename", "create") => Self::Rename { creates: true },
            ("rename", "") => Self::Rename { creates: false },
            ("thrice", "") => Self::Thrice,
            ("late", _) => Self::Late(number()?),
            ("copytruncate", _) => Self::CopyTruncate { late: number()? },
            ("regrow", "") => Self::Regrow,
            ("compress", "") => Self::Compress,
            ("delete", "") => Self::Delete,
            ("delete", "oldest") => Self::DeleteOldest,
            ("recreate", "") => Self::Recreate,
            ("move", "") => Self::Move,
            ("switch", "") => Self::Switch,
            ("rest", "") => Self::Rest,
            ("kill", "") => Self::Kill,
            ("stop", "") => Self::Stop,
            ("start", "") => Self::Start,
            ("sync", "") => Self::Sync,
            ("pause", _) => Self::Pause(rest.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        })
    }
}

impl Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.naming {
            Naming::Numbered => "numbered",
            Naming::Dated => "dated",
            Naming::Linked => "linked",
        })?;
        f.write_str(if self.manner == Manner::Gentle { " gentle" } else { "" })?;
        f.write_str(if self.old { " old" } else { "" })?;
        self.steps.iter().try_for_each(|step| write!(f, "; {step}"))
    }
}

impl FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';').map(str::trim);
        let head = parts.next().unwrap_or_default();
        let (naming, old) = head.strip_suffix(" old").map_or((head, false), |naming| (naming, true));
        let (naming, manner) =
            naming.strip_suffix(" gentle").map_or((naming, Manner::Rough), |naming| (naming, Manner::Gentle));
        let naming = match naming {
            "numbered" => Naming::Numbered,
            "dated" => Naming::Dated,
            "linked" => Naming::Linked,
            _ => return Err(format!("{head} is no naming")),
        };
        Ok(Self { naming, manner, old, steps: parts.map(Step::from_str).collect::<Result<_, _>>()? })
    }
}

#[test]
fn a_program_can_be_typed_again() {
    for seed in 0..40 {
        for program in Program::draw(seed, Manner::Rough, 10) {
            assert_eq!(program.to_string().parse(), Ok(program));
        }
    }
}

#[test]
fn programs_that_run_together_share_what_is_shared() {
    for seed in 0..40 {
        let programs = Program::draw(seed, Manner::Gentle, 10);
        let shared = |program: &Program| {
            let all = program.steps.iter().enumerate().filter(|(_, step)| step.is_shared());
            all.map(|(at, step)| (at, *step)).collect::<Vec<_>>()
        };
        assert!(programs.iter().all(|program| shared(program) == shared(&programs[0])), "seed {seed}");
        let downs =
            shared(&programs[0]).into_iter().filter(|(_, step)| matches!(step, Step::Kill | Step::Stop)).count();
        let ups = shared(&programs[0]).into_iter().filter(|(_, step)| *step == Step::Start).count();
        assert_eq!(downs, ups, "seed {seed}");
    }
}
