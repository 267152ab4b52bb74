import inspect
import sys
import types

import pytest

from worldmodel_trading.market.errors import MissingPackageError, ModelFileError
from worldmodel_trading.models import hub
from worldmodel_trading.models.world_model import WorldModel


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path


def install(monkeypatch, snapshot_download) -> None:
    """The library's one function that is used; the real one would need the network."""
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/model", True),
        ("owner/model-1.2_b", True),
        ("owner", False),
        ("/owner/model", False),
        ("../model", False),
        ("owner/..", False),
        ("owner/a..b", False),
        ("a/b/c", False),
        ("https://host/model", False),
    ],
)
def test_what_a_hub_id_looks_like(name, expected):
    assert hub.is_hub_id(name) == expected


def test_without_the_library_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"no folder owner/model.*\[hub\]"):
        WorldModel.from_pretrained("owner/model")


def test_a_hub_model_is_fetched_and_verified(monkeypatch, cache, market_model):
    asked = []

    def snapshot_download(repo_id, allow_patterns, local_dir):
        asked.append((repo_id, sorted(allow_patterns)))
        market_model.save_pretrained(local_dir)

    install(monkeypatch, snapshot_download)
    loaded = WorldModel.from_pretrained("owner/model")
    assert loaded.config == market_model.config
    assert asked == [("owner/model", ["config.json", "manifest.json", "model.safetensors"])]
    fetched = cache / "worldmodel-trading" / "hub" / "owner--model"
    (fetched / "config.json").write_text("{}")
    install(monkeypatch, lambda **_: None)
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        WorldModel.from_pretrained("owner/model")


@pytest.mark.usefixtures("cache")
def test_a_failed_fetch_is_said_in_words(monkeypatch):
    def snapshot_download(**_):
        raise ConnectionError("no route")

    install(monkeypatch, snapshot_download)
    with pytest.raises(
        ModelFileError, match=r"no folder owner/model, and it cannot be fetched.*no route"
    ):
        WorldModel.from_pretrained("owner/model")


def test_the_library_takes_what_it_is_given():
    real = pytest.importorskip("huggingface_hub").snapshot_download
    given = {"repo_id": "owner/model", "allow_patterns": ["config.json"], "local_dir": "folder"}
    assert inspect.signature(real).bind(**given).arguments == given
