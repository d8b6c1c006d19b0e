//! A small disk: a tmpfs of its own, mounted where that is allowed, and else in a namespace of the watching process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory on a file system of its own.
pub(crate) struct Disk {
    directory: PathBuf,
    options: String,
    /// It exists only for the process that is started with it.
    in_namespace: bool,
}

impl Disk {
    /// Mounts a file system of this size, or prepares to.
    pub(crate) fn new(directory: &Path, size_bytes: u64) -> Self {
        fs::create_dir_all(directory).unwrap();
        let options = format!("size={size_bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory).stderr(Stdio::null());
        let in_namespace = !mount.status().is_ok_and(|status| status.success());
        if in_namespace {
            let mut unshare = Command::new("unshare");
            unshare.args(["-Urm", "mount", "-t", "tmpfs", "tmpfs"]).arg(directory).stderr(Stdio::null());
            assert!(
                unshare.status().is_ok_and(|status| status.success()),
                "this test needs a small file system: run it as root, or where user namespaces are allowed"
            );
        }
        Self { directory: directory.to_owned(), options, in_namespace }
    }

    /// The command that has the disk where it should be.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut inside = if self.in_namespace {
            let mut inside = Command::new("unshare");
            let script = "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && shift && exec \"$@\"";
            inside.args(["-Urm", "sh", "-c", script, &self.options]).arg(&self.directory).arg(command.get_program());
            inside
        } else {
            Command::new(command.get_program())
        };
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        inside
    }

    /// The directory as this process sees it, beside a process that was started with it.
    pub(crate) fn seen_from_outside(&self, process: u32) -> PathBuf {
        if self.in_namespace {
            let root = PathBuf::from(format!("/proc/{process}/root"));
            return root.join(self.directory.strip_prefix("/").expect("it is an absolute path"));
        }
        self.directory.clone()
    }

    /// Makes it read-only.
    pub(crate) fn protect(&mut self) {
        self.options.push_str(",ro");
        if !self.in_namespace {
            let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.directory).status();
            assert!(remount.unwrap().success(), "{} does not become read-only", self.directory.display());
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.in_namespace {
            let _ = Command::new("umount").arg("-l").arg(&self.directory).status();
        }
    }
}
