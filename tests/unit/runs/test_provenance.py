"""What a run records of the code that made it: git's own words."""

import subprocess

from adawac.runs.provenance import git_state


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_and_whether_files_differ_from_it(tmp_path):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    clean = git_state(tmp_path)
    assert clean == {"commit": git(tmp_path, "rev-parse", "HEAD"), "changed": ""}
    (tmp_path / "code.py").write_text("a = 2\n")
    first = git_state(tmp_path)
    (tmp_path / "code.py").write_text("a = 3\n")
    second = git_state(tmp_path)
    assert first["commit"] == second["commit"] == clean["commit"]
    assert len({clean["changed"], first["changed"], second["changed"]}) == 3
