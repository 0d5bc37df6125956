"""Addresses are refused wherever a folder is named, and nothing is made of them."""

import pytest

from adawac.cli import main
from adawac.errors import ConfigError
from adawac.training.configuration import resolve

NETWORK = {"model": {"network": {"architecture": "monai.networks.nets.UNet"}}}


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("check s3://bucket/data", "s3://bucket/data"),
        ("init S3://bucket/data -o a.yaml", "S3://bucket/data"),
        ("prepare a.yaml --data.store gs://bucket/store", "--data.store gs://bucket/store"),
        ("fit a.yaml --runs=abfs://bucket/runs", "--runs abfs://bucket/runs"),
        ("predict run -i hdfs://head/in -o out", "-i hdfs://head/in"),
        ("study study.yaml --on ray://head:10001 --runs s3://bucket", "--runs s3://bucket"),
    ],
)
def test_on_the_command_line(tmp_path, monkeypatch, capsys, command, named):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    assert f"{named} is an address" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"data": {"root": "s3://bucket/data"}}, "data.root s3://bucket/data"),
        ({"data": {"root": "DATA", "store": "memory://store"}}, "data.store memory://store"),
        ({"data": {"root": "DATA"}, "runs": "s3://bucket/runs"}, "runs s3://bucket/runs"),
    ],
)
def test_in_settings(settings, named):
    with pytest.raises(ConfigError, match=f"{named} is an address"):
        resolve({**NETWORK, **settings})


def test_loggers_and_folders_of_such_names_are_left_alone():
    logger = {"class_path": "CSVLogger", "init_args": {"save_dir": "s3://bucket/logs"}}
    resolve({**NETWORK, "data": {"root": "s3"}, "trainer": {"logger": logger}})
