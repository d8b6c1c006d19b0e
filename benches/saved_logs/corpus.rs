//! The generator: logs of every shape from a seed, and exactly what they hold.

use crate::*;

/// An access's outcomes. The last stands here for [`ELSE`], as no other outcome is ever logged.
pub(crate) const OUTCOMES: [&str; 4] = ["direct", "http-fallback", "direct-failed", "other"];

/// Where [`calls`] has what is no access.
pub(crate) const ELSE: usize = 3;

/// Events by deployment and outcome, in the order of [`OUTCOMES`].
pub(crate) type Counts = BTreeMap<String, [u64; 4]>;

/// A log on disk and what is in it.
pub(crate) struct Corpus {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) counts: Counts,
}

impl Corpus {
    /// Writes a log that ends with the record that reaches `size` bytes, and syncs it to the disk.
    pub(crate) fn write(path: &Path, shape: Shape, percent: u64, size: u64, seed: u64) -> Result<Self> {
        let mut file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut generator = Generator::new(shape, percent, seed);
        let (mut block, mut bytes, mut lines) = (String::new(), 0, 0);
        while bytes < size {
            block.clear();
            while (block.len() as u64) < MIB.min(size - bytes) {
                generator.put_record(&mut block);
            }
            file.write_all(block.as_bytes())?;
            bytes += block.len() as u64;
            lines += block.bytes().map(|byte| u64::from(byte == b'\n')).sum::<u64>();
        }
        file.sync_all()?;
        Ok(Self { path: path.to_owned(), bytes, lines, counts: generator.counts() })
    }

    pub(crate) fn events(&self) -> u64 {
        self.counts.values().flatten().sum()
    }
}

/// The generator `SplitMix64`: small, fast, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A document id as Convex makes them.
    pub(crate) fn id(&mut self) -> String {
        let bits = [self.next(), self.next(), self.next()];
        let letter = |at: usize| b"0123456789abcdefghjkmnpqrstvwxyz"[(bits[at / 12] >> (at % 12 * 5) & 31) as usize];
        (0..32).map(|at| char::from(letter(at))).collect()
    }
}

/// A deployment that logs, and the accesses it has logged.
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) self_hosted: bool,
    /// The `convex` object of a log stream.
    pub(crate) object: String,
    pub(crate) outcomes: [u64; 4],
}

/// Fifty deployments: most in Convex Cloud, of each type, and each eighth elsewhere, where there are no types.
pub(crate) fn deployments() -> Vec<Deployment> {
    const ADJECTIVES: [&str; 5] = ["happy", "tall", "quiet", "brave", "curious"];
    const ANIMALS: [&str; 9] = ["otter", "falcon", "lemur", "badger", "heron", "marmot", "walrus", "ibex", "newt"];
    const TYPES: [&str; 8] = ["prod", "prod", "dev", "prod", "preview", "dev", "custom", ""];
    const ELSEWHERE: [&str; 6] =
        ["convex-self-hosted", "artifact-review-local", "staging", "warehouse", "local-acme-review", "anonymous-agent"];
    let deployment = |at: usize| {
        let (kind, project, region) = (TYPES[at % 8], at / 4, ["us-east-1", "eu-west-1"][at % 2]);
        let self_hosted = kind.is_empty();
        let (name, rest) = if self_hosted {
            let rest = r#""deployment_type":null,"deployment_ref":null,"project_name":null,"project_slug":null,"deployment_region":"local""#;
            (ELSEWHERE[at / 8].to_owned(), rest.to_owned())
        } else {
            let rest = format!(
                r#""deployment_type":"{kind}","deployment_ref":"{kind}/{at}","project_name":"Artifact Review {project}","project_slug":"artifact-review-{project}","deployment_region":"aws-{region}""#
            );
            (format!("{}-{}-{}", ADJECTIVES[at % 5], ANIMALS[at % 9], 123 + 19 * at), rest)
        };
        let object = format!(r#"{{"deployment_name":"{name}",{rest}}}"#);
        Deployment { name, self_hosted, object, outcomes: [0; 4] }
    };
    (0..50).map(deployment).collect()
}

/// A function that logs: its letter in text, its path, its type as a log stream and as a record writes it, and its queue.
#[derive(Clone, Copy)]
pub(crate) struct Function(&'static str, &'static str, &'static str, &'static str, &'static str);

pub(crate) const FUNCTIONS: [Function; 3] = [
    Function("A", "zipProcessor:processZipFile", "action", "Action", "null"),
    Function("Q", "artifacts:listByOwner", "query", "Query", "null"),
    Function("M", "artifacts:saveVersion", "mutation", "Mutation", "0"),
];

/// What is logged: the outcome, how often among those of the outcome, the function's letter, the level, and the arguments
/// of the call as the backend renders them, with a bar between. `END` is not a call but a function's end, and what it threw.
/// Where the text has an apostrophe the renderer takes other quotes, and it doubles backslashes. What stands behind `$` is
/// filled in.
pub(crate) const CALLS: &str = r#"
direct 1 A LOG '{"timestamp":"$timeZ","level":"info","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct","metadata":{"storageId":"$id","size":$size,"note":"Production path - optimal performance"}}'
http-fallback 1 A LOG '{"timestamp":"$timeZ","level":"info","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: http-fallback","metadata":{"storageId":"$id","reason":"ECONNREFUSED on direct access (expected in self-hosted)","note":"Using localhost:3211 HTTP workaround"}}'
direct-failed 3 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Transient network error running storage get url (ECONNREFUSED, 5 attempts)","cause":"fetch failed","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 1 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Transient network error running storage get url (ECONNRESET, 5 attempts)","cause":"fetch failed","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 3 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Transient error while running storage get url: Internal Server Error","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 1 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"read ETIMEDOUT","cause":"read ETIMEDOUT","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 1 A ERROR `{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Can't read the stored file: 404 Not Found","note":"Unexpected error - not ECONNREFUSED"}}`
direct-failed 1 A ERROR `{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Unexpected token 'I', \\"Internal S\\"... is not valid JSON","note":"Unexpected error - not ECONNREFUSED"}}`
other 20 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Starting ZIP processing","metadata":{"versionId":"$id","storageId":"$id"}}'
other 20 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Fetching ZIP file from storage"}'
other 12 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"ZIP buffer loaded","metadata":{"byteLength":$size,"storageMethod":"direct"}}'
other 4 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"ZIP buffer loaded","metadata":{"byteLength":$size,"storageMethod":"http-fallback"}}'
other 4 A ERROR `{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"ZIP processing failed","metadata":{"versionId":"$id","error":"Can't find end of central directory : is this a zip file ?"}}`
other 12 M INFO 'Version saved'|{$n  versionId: '$id',$n  storageId: '$id',$n  size: $size$n}
other 12 Q LOG 'Listed artifacts of $id'
other 6 M END
other 5 Q END
other 3 A END
other 2 A END Uncaught Error: Can't find end of central directory : is this a zip file ?
"#;

/// A line of [`CALLS`].
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) level: &'static str,
    pub(crate) arguments: &'static str,
}

/// The calls by outcome, each as often as it is to be drawn.
pub(crate) fn calls() -> [Vec<Call>; 4] {
    let mut calls = [const { vec![] }; 4];
    for line in CALLS.lines().skip(1) {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (outcome, often, letter, level, arguments) = (word(), word(), word(), word(), word());
        let at = OUTCOMES.iter().position(|known| *known == outcome).expect("lines begin with an outcome");
        let function = *FUNCTIONS.iter().find(|function| function.0 == letter).expect("the letter is of a function");
        calls[at].extend((0..often.parse().expect("a number")).map(|_: u32| Call { function, level, arguments }));
    }
    calls
}

/// Writes records one after another, in rising time.
pub(crate) struct Generator {
    pub(crate) shape: Shape,
    pub(crate) percent: u64,
    pub(crate) random: Random,
    pub(crate) time_ms: u64,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) calls: [Vec<Call>; 4],
}

impl Generator {
    pub(crate) fn new(shape: Shape, percent: u64, seed: u64) -> Self {
        let (deployments, calls) = (deployments(), calls());
        Self { shape, percent, random: Random(seed), time_ms: MONTH_START_MS + 30_441_083, deployments, calls }
    }

    /// What a reader must count so far; where the shape names no deployment, all is of `unknown`.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for deployment in self.deployments.iter().filter(|deployment| deployment.outcomes != [0; 4]) {
            let name = if self.shape.names_deployments() { &deployment.name } else { "unknown" };
            let sums = counts.entry(name.to_owned()).or_default();
            sums.iter_mut().zip(deployment.outcomes).for_each(|(sum, count)| *sum += count);
        }
        counts
    }

    /// Appends a record.
    pub(crate) fn put_record(&mut self, out: &mut String) {
        self.time_ms += self.random.below(8);
        let deployment = self.random.below(50) as usize;
        let outcome = if self.random.below(100) < self.percent { self.access(deployment) } else { ELSE };
        let call = self.calls[outcome][self.random.below(self.calls[outcome].len() as u64) as usize];
        let mut record = Record { deployment, call, request: self.random.next(), arguments: vec![] };
        record.arguments = call.arguments.split('|').map(|argument| self.filled(argument, &record)).collect();
        match self.shape {
            Shape::Ndjson | Shape::Jsonl | Shape::Text => self.fill(record.template(self.shape), &record, out),
            Shape::Docker | Shape::DockerNdjson => {
                let lines = self.filled(record.template(self.shape), &record);
                for line in lines.split_inclusive('\n') {
                    record.arguments = vec![line.to_owned()];
                    self.fill(IN_DOCKER, &record, out);
                }
            }
        }
    }

    /// The outcome of a storage access, counted. Fallbacks and failures are rare in the cloud and common elsewhere.
    pub(crate) fn access(&mut self, deployment: usize) -> usize {
        let deployment = &mut self.deployments[deployment];
        let (fallbacks, failures) = if deployment.self_hosted { (60, 10) } else { (1, 2) };
        let outcome = match self.random.below(100) {
            draw if draw < fallbacks => 1,
            draw if draw < fallbacks + failures => 2,
            _ => 0,
        };
        deployment.outcomes[outcome] += 1;
        outcome
    }

    pub(crate) fn filled(&mut self, template: &str, record: &Record) -> String {
        let mut text = String::with_capacity(1024);
        self.fill(template, record, &mut text);
        text
    }

    /// Appends a template with its words filled in.
    pub(crate) fn fill(&mut self, template: &str, record: &Record, out: &mut String) {
        let Record { deployment, call: Call { function, level, .. }, request, arguments } = record;
        let Function(letter, path, kind, udf_type, queue) = function;
        let (time_ms, threw) = (self.time_ms, arguments.first().is_some_and(|error| !error.is_empty()));
        let mut parts = template.split('$');
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let end = part.find(|character: char| !character.is_ascii_lowercase()).unwrap_or(part.len());
            let (word, rest) = part.split_at(end);
            match word {
                "n" => out.write_char('\n'),
                "id" => write!(out, "{}", self.random.id()),
                "size" => write!(out, "{}", self.random.below(4 << 20)),
                "time" => write!(out, "{}", rfc3339(time_ms)),
                "clock" => write!(out, "{}", twelve_hours(time_ms)),
                "milliseconds" => write!(out, "{time_ms}"),
                // JavaScript writes seconds without zeros at their end.
                "seconds" => write!(out, "{}", time_ms as f64 / 1000.0),
                "convex" => write!(out, "{}", self.deployments[*deployment].object),
                "letter" => write!(out, "{letter}"),
                "path" => write!(out, "{path}"),
                "type" => write!(out, "{kind}"),
                "udf" => write!(out, "{udf_type}"),
                "queue" => write!(out, "{queue}"),
                "level" => write!(out, "{level}"),
                "request" => write!(out, "{request:016x}"),
                // No two records have the same number, nor the same execution.
                "execution" => write!(out, "{:08x}-1111-4111-8111-0000{:08x}", request >> 32, request & 0xffff_ffff),
                "duration" => write!(out, "{:03}", 100 + request % 900),
                "status" => write!(out, "{}", if threw { "failure" } else { "success" }),
                "error" if *level == "END" && threw => write!(out, "\"{}\"", arguments[0]),
                "error" => write!(out, "null"),
                "text" => write!(out, "{}", arguments.join(" ")),
                "message" => put_escaped(&arguments.join(" "), out),
                "messages" => {
                    let put = |(at, argument): (usize, &String)| {
                        out.write_str(if at == 0 { "\"" } else { ",\"" })?;
                        put_escaped(argument, out)?;
                        out.write_str("\"")
                    };
                    arguments.iter().enumerate().try_for_each(put)
                }
                unknown => unreachable!("the templates have no ${unknown}"),
            }
            .expect("a string takes everything");
            out.push_str(rest);
        }
    }
}

/// One record before it takes a shape.
pub(crate) struct Record {
    pub(crate) deployment: usize,
    pub(crate) call: Call,
    pub(crate) request: u64,
    /// The arguments as rendered, or the error of a function's end.
    pub(crate) arguments: Vec<String>,
}

pub(crate) const STREAM_CALL: &str = r#"{"timestamp":$milliseconds,"topic":"console","function":{"path":"$path","type":"$type","cached":false,"request_id":"$request","mutation_queue_length":$queue,"mutation_retry_count":$queue},"log_level":"$level","message":"$message","is_truncated":false,"system_code":null,"convex":$convex}$n"#;
pub(crate) const STREAM_END: &str = r#"{"timestamp":$milliseconds,"topic":"function_execution","function":{"path":"$path","type":"$type","cached":false,"request_id":"$request","mutation_queue_length":$queue,"mutation_retry_count":$queue},"execution_time_ms":$duration,"status":"$status","error_message":$error,"occ_info":null,"scheduler_info":null,"usage":{"database_read_bytes":$size,"database_write_bytes":0,"database_read_documents":3,"file_storage_read_bytes":0,"file_storage_write_bytes":0,"vector_storage_read_bytes":0,"vector_storage_write_bytes":0,"memory_used_mb":64},"convex":$convex}$n"#;
/// Actions report their lines as they are logged, other functions at their end.
pub(crate) const JSONL_CALL: &str = r#"{"kind":"Progress","udfType":"$udf","componentPath":null,"identifier":"$path","timestamp":$seconds,"logLines":[{"messages":[$messages],"isTruncated":false,"timestamp":$milliseconds,"level":"$level","systemMetadata":null}],"requestId":"$request","executionId":"$execution"}$n"#;
pub(crate) const JSONL_CALL_AND_END: &str = r#"{"kind":"Completion","udfType":"$udf","componentPath":null,"identifier":"$path","logLines":[{"messages":[$messages],"isTruncated":false,"timestamp":$milliseconds,"level":"$level","systemMetadata":null}],"timestamp":$seconds,"cachedResult":false,"caller":"SyncWorker","parentExecutionId":null,"executionTime":0.$duration,"userExecutionTime":null,"success":null,"error":null,"requestId":"$request","executionId":"$execution","usageStats":{"databaseReadBytes":$size,"databaseWriteBytes":0,"databaseReadDocuments":3,"storageReadBytes":0,"storageWriteBytes":0,"vectorIndexReadBytes":0,"vectorIndexWriteBytes":0,"memoryUsedMb":64},"returnBytes":null,"occInfo":null,"willRetry":false,"executionTimestamp":$seconds,"identityType":"user","environment":"isolate"}$n"#;
pub(crate) const JSONL_END: &str = r#"{"kind":"Completion","udfType":"$udf","componentPath":null,"identifier":"$path","logLines":[],"timestamp":$seconds,"cachedResult":false,"caller":"SyncWorker","parentExecutionId":null,"executionTime":0.$duration,"userExecutionTime":null,"success":null,"error":$error,"requestId":"$request","executionId":"$execution","usageStats":{"databaseReadBytes":$size,"databaseWriteBytes":0,"databaseReadDocuments":3,"storageReadBytes":0,"storageWriteBytes":0,"vectorIndexReadBytes":0,"vectorIndexWriteBytes":0,"memoryUsedMb":64},"returnBytes":null,"occInfo":null,"willRetry":false,"executionTimestamp":$seconds,"identityType":"user","environment":"node"}$n"#;
pub(crate) const TEXT_CALL: &str = "$clock [CONVEX $letter($path)] [$level] $text$n";
pub(crate) const TEXT_END: &str = "$clock [CONVEX $letter($path)] Function executed in $duration ms$n";
pub(crate) const TEXT_ERROR: &str =
    "$clock [CONVEX $letter($path)] $text$n    at async handler (../convex/zipProcessor.ts:116:8)$n";
pub(crate) const IN_DOCKER: &str = r#"{"log":"$message","stream":"stdout","time":"$time123456Z"}$n"#;

impl Record {
    pub(crate) fn template(&self, shape: Shape) -> &'static str {
        let (ends, threw) = (self.call.level == "END", !self.call.arguments.is_empty());
        match shape {
            Shape::Ndjson | Shape::DockerNdjson if ends => STREAM_END,
            Shape::Ndjson | Shape::DockerNdjson => STREAM_CALL,
            Shape::Jsonl if ends => JSONL_END,
            Shape::Jsonl if self.call.function.0 == "A" => JSONL_CALL,
            Shape::Jsonl => JSONL_CALL_AND_END,
            Shape::Text | Shape::Docker if ends && threw => TEXT_ERROR,
            Shape::Text | Shape::Docker if ends => TEXT_END,
            Shape::Text | Shape::Docker => TEXT_CALL,
        }
    }
}

/// Writes the text of a JSON string. The generator makes no control character but the newline.
pub(crate) fn put_escaped(text: &str, out: &mut String) -> std::fmt::Result {
    for piece in text.split_inclusive(['"', '\\', '\n']) {
        match (piece.strip_suffix(['"', '\\']), piece.strip_suffix('\n')) {
            (Some(plain), _) if piece.ends_with('"') => write!(out, "{plain}\\\"")?,
            (Some(plain), _) => write!(out, "{plain}\\\\")?,
            (_, Some(plain)) => write!(out, "{plain}\\n")?,
            _ => out.write_str(piece)?,
        }
    }
    Ok(())
}

/// The first of November 2026. Records are so dense that a log of 300 GiB ends within the month.
pub(crate) const MONTH_START_MS: u64 = 1_793_491_200_000;

/// Day of the month, hour, minute, second and millisecond, in UTC.
pub(crate) fn clock(time_ms: u64) -> [u64; 5] {
    let (since_ms, second) = (time_ms - MONTH_START_MS, (time_ms - MONTH_START_MS) / 1000);
    [1 + second / 86_400, second / 3600 % 24, second / 60 % 60, second % 60, since_ms % 1000]
}

/// RFC 3339 without the zone.
pub(crate) fn rfc3339(time_ms: u64) -> String {
    let [day, hour, minute, second, millisecond] = clock(time_ms);
    format!("2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}")
}

/// As an American client prints it.
pub(crate) fn twelve_hours(time_ms: u64) -> String {
    let [day, hour, minute, second, _] = clock(time_ms);
    format!("11/{day}/2026, {}:{minute:02}:{second:02} {}", (hour + 11) % 12 + 1, if hour < 12 { "AM" } else { "PM" })
}
