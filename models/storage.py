"""A world model on disk: JSON, safetensors and a manifest of checksums; never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..market.arrays import Float32Array
from ..market.errors import ConfigError, ModelFileError
from ..market.features import Scaler
from ..market.files.writer import write_whole
from .bars.config import MarketConfig
from .bars.networks import BarRNN, BarVAE, build_bar_networks
from .hub import fetch_from_hub, is_hub_id
from .mdn_rnn import MDNRNN, build_mdn_rnn
from .presets import AnyConfig, read_config
from .provenance import BarBank, Provenance, WarmupBank
from .vae import VAE, build_vae

FORMAT = "worldmodel-trading world model"
FORMAT_VERSION = 2
_ADDED = "mdn_rnn.noise_calibration"  # 0 in files that were saved before there was one
_POSITIVE = ("scaler.scale", "bank.close", "bank.volume_level")
CONFIG_FILE, WEIGHTS_FILE, MANIFEST_FILE = "config.json", "model.safetensors", "manifest.json"

_JSON_LIMIT_BYTES = 1 << 20
_WEIGHTS_LIMIT_BYTES = 1 << 30
_PRETRAINED = Path(__file__).parent / "pretrained"


class Parts(NamedTuple):
    """What is kept of a world model, in the order in which `WorldModel` takes it."""

    config: AnyConfig
    provenance: Provenance
    scaler: Scaler
    vae: VAE | BarVAE
    mdn_rnn: MDNRNN | BarRNN
    bank: WarmupBank
    others: tuple[Member, ...] = ()


class Member(NamedTuple):
    """What another member of a world model of bars has of its own.

    Attributes:
        vae: V.
        mdn_rnn: M.
        z: Of the bank's segments, by its V [S, W, Z].
    """

    vae: BarVAE
    mdn_rnn: BarRNN
    z: Float32Array


def save_parts(parts: Parts, folder: Path) -> None:
    """Write the three files, each to a temporary one and then renamed, the manifest last."""
    config = {
        "config": parts.config.to_dict(),
        "provenance": parts.provenance.to_dict(),
    }
    contents = {
        CONFIG_FILE: _json_bytes(config),
        WEIGHTS_FILE: save(_tensors(parts), metadata={"format": FORMAT}),
    }
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in contents.items()
        },
        "made_by": {
            "package": "worldmodel-trading",
            "seed": parts.provenance.seed,
            "source": parts.provenance.source,
            "versions": parts.provenance.versions,
        },
    }
    for name, content in {**contents, MANIFEST_FILE: _json_bytes(manifest)}.items():
        write_whole(folder / name, content)


def load_parts(folder: str | Path) -> Parts:
    """Read, verify and rebuild a world model's parts.

    Args:
        folder: A folder, ``"default"``, or a hub id, ``"owner/model"``.

    Raises:
        ModelFileError: Something is missing, altered, or of another format.
    """
    path = _folder(folder)
    _verify(path)
    described = _read_json(path / CONFIG_FILE)
    if set(described) != {"config", "provenance"}:
        raise ModelFileError(f"{path / CONFIG_FILE}: expected the fields config and provenance")
    try:
        config = read_config(described["config"])
    except ConfigError as error:
        raise ModelFileError(f"{path / CONFIG_FILE}: {error}") from None
    provenance = Provenance.from_dict(described["provenance"])
    with torch.device("meta"):
        vae, mdn_rnn = _networks(config)
    tensors = _read_tensors(path / WEIGHTS_FILE, _expected_shapes(config, vae, mdn_rnn))
    vae.load_state_dict(_part(tensors, "vae."), assign=True)
    mdn_rnn.load_state_dict(_part(tensors, "mdn_rnn."), assign=True)
    scaler = Scaler(tensors["scaler.mean"].numpy(), tensors["scaler.scale"].numpy())
    kind = BarBank if isinstance(config, MarketConfig) else WarmupBank
    bank = kind(**{name: part.numpy() for name, part in _part(tensors, "bank.").items()})
    return Parts(config, provenance, scaler, vae, mdn_rnn, bank, _others(config, tensors))


def _others(config: AnyConfig, tensors: dict[str, Tensor]) -> tuple[Member, ...]:
    if not isinstance(config, MarketConfig):
        return ()
    members = range(2, config.members + 1)
    return tuple(_member(config, _part(tensors, _of_member(number, ""))) for number in members)


def _member(config: MarketConfig, tensors: dict[str, Tensor]) -> Member:
    with torch.device("meta"):
        vae, mdn_rnn = build_bar_networks(config, 0)
    vae.load_state_dict(_part(tensors, "vae."), assign=True)
    mdn_rnn.load_state_dict(_part(tensors, "mdn_rnn."), assign=True)
    return Member(vae, mdn_rnn, tensors["z"].numpy())


def _networks(config: AnyConfig) -> tuple[VAE | BarVAE, MDNRNN | BarRNN]:
    if isinstance(config, MarketConfig):
        return build_bar_networks(config, 0)
    return build_vae(config, 0), build_mdn_rnn(config, 0)


def _folder(name: str | Path) -> Path:
    """Where the files are: the shipped model, a local folder, or one fetched from the hub."""
    path = _PRETRAINED / "default" if str(name) == "default" else Path(name)
    if path.is_dir():
        return path
    if not path.exists() and isinstance(name, str) and is_hub_id(name):
        return fetch_from_hub(name, (CONFIG_FILE, WEIGHTS_FILE, MANIFEST_FILE))
    raise ModelFileError(
        f"there is no world model at {name}: expected a folder, owner/model on the Hugging Face "
        'Hub, or "default"'
    )


def _json_bytes(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _tensors(parts: Parts) -> dict[str, Tensor]:
    bank, scaler = parts.bank, parts.scaler
    tensors = {f"vae.{k}": v for k, v in parts.vae.state_dict().items()}
    tensors |= {f"mdn_rnn.{k}": v for k, v in parts.mdn_rnn.state_dict().items()}
    tensors |= {
        **_of_others(parts.others),
        "scaler.mean": torch.tensor(scaler.mean),
        "scaler.scale": torch.tensor(scaler.scale),
        **{f"bank.{f.name}": torch.tensor(getattr(bank, f.name)) for f in fields(bank)},
    }
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _of_others(others: Sequence[Member]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for number, member in enumerate(others, start=2):
        for part, module in (("vae", member.vae), ("mdn_rnn", member.mdn_rnn)):
            state = module.state_dict()
            tensors |= {_of_member(number, f"{part}.{name}"): t for name, t in state.items()}
        tensors[_of_member(number, "z")] = torch.tensor(member.z)
    return tensors


def _of_member(number: int, name: str) -> str:
    return f"member_{number}.{name}"


def _verify(path: Path) -> None:
    manifest = _read_json(path / MANIFEST_FILE)
    if manifest.get("format") != FORMAT:
        raise ModelFileError(f"{path / MANIFEST_FILE}: this is no world model of this package")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{path / MANIFEST_FILE}: format version {version!r}; this release reads "
            f"{FORMAT_VERSION}: install a newer worldmodel-trading"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != {CONFIG_FILE, WEIGHTS_FILE}:
        raise ModelFileError(
            f"{path / MANIFEST_FILE}: expected the files {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    for name, entry in files.items():
        expected = entry.get("sha256") if isinstance(entry, dict) else None
        if _digest(path / name) != expected:
            raise ModelFileError(
                f"{path / name} is not the file that was saved (its SHA-256 differs): "
                "copy or rebuild the world model"
            )


def _digest(file: Path) -> str:
    limit = _WEIGHTS_LIMIT_BYTES if file.name == WEIGHTS_FILE else _JSON_LIMIT_BYTES
    _check_file(file, limit)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_file(file: Path, limit_bytes: int) -> None:
    if not file.is_file():
        raise ModelFileError(f"{file} is missing: the world model is incomplete")
    if file.resolve().parent != file.parent.resolve():
        raise ModelFileError(f"{file} is a link that leaves the folder")
    size = file.stat().st_size
    if size > limit_bytes:
        raise ModelFileError(f"{file} has {size} bytes; expected at most {limit_bytes}")


def _read_json(file: Path) -> dict[str, Any]:
    _check_file(file, _JSON_LIMIT_BYTES)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{file} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise ModelFileError(f"{file}: expected a JSON object")
    return values


Shape = tuple[int | None, ...]


def _expected_shapes(
    config: AnyConfig, vae: nn.Module, mdn_rnn: nn.Module
) -> dict[str, tuple[torch.dtype, Shape]]:
    """Name, type and shape of every tensor; None is a size that the file may choose."""
    shapes: dict[str, tuple[torch.dtype, Shape]] = {}
    for prefix, module in (("vae.", vae), ("mdn_rnn.", mdn_rnn)):
        for name, tensor in module.state_dict().items():
            shapes[prefix + name] = (tensor.dtype, tuple(tensor.shape))
    features = (len(config.features.names),)
    shapes["scaler.mean"] = shapes["scaler.scale"] = (torch.float64, features)
    shapes["bank.z"] = (torch.float32, (None, config.warmup_bars, config.latent_size))
    shapes["bank.open_time_ms"] = (torch.int64, (None,))
    shapes["bank.close"] = shapes["bank.volume_level"] = (torch.float64, (None,))
    if isinstance(config, MarketConfig):
        shapes["bank.memory"] = (torch.float64, (None, config.features.memory_size))
        shapes["bank.features"] = (torch.float64, (None, *features))
        shapes["bank.bars"] = (torch.float32, (None, config.warmup_bars, 4))
        own = [name for name in shapes if name.startswith(("vae.", "mdn_rnn."))]
        for number in range(2, config.members + 1):
            shapes |= {_of_member(number, name): shapes[name] for name in own}
            shapes[_of_member(number, "z")] = shapes["bank.z"]
    return shapes


def _read_tensors(file: Path, expected: dict[str, tuple[torch.dtype, Shape]]) -> dict[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as stored:
            names = set(stored.keys())
            missing = set(expected) - names
            added = {name for name in missing if name.endswith(_ADDED)}
            if odd := sorted(names - set(expected) | missing - added):
                raise ModelFileError(f"{file}: missing or unknown tensors: {', '.join(odd[:5])}")
            there = {name: kind for name, kind in expected.items() if name not in added}
            for name, (_, shape) in there.items():
                _check_shape(file, name, tuple(stored.get_slice(name).get_shape()), shape)
            tensors = {name: stored.get_tensor(name) for name in there}
    except SafetensorError as error:
        raise ModelFileError(f"{file} is no safetensors file: {error}") from None
    for name, (dtype, _) in there.items():
        if tensors[name].dtype != dtype:
            raise ModelFileError(f"{file}: {name} is {tensors[name].dtype}; expected {dtype}")
        if not np.isfinite(tensors[name].numpy()).all():  # no thread pool of PyTorch's
            raise ModelFileError(f"{file}: {name} holds numbers that are not finite")
    segments = [name for name in tensors if name.startswith("bank.") or name.endswith(".z")]
    lengths = {len(tensors[name]) for name in segments}
    if len(lengths) != 1:
        raise ModelFileError(f"{file}: the bank's parts have different numbers of segments")
    if any((tensors[name] <= 0).any() for name in _POSITIVE):
        raise ModelFileError(f"{file}: scales, prices and volumes must be positive")
    return tensors | {name: torch.zeros(3) for name in added}


def _check_shape(file: Path, name: str, actual: tuple[int, ...], expected: Shape) -> None:
    fits = len(actual) == len(expected) and all(
        size == wanted or (wanted is None and size > 0)
        for size, wanted in zip(actual, expected, strict=True)
    )
    if not fits:
        wanted = tuple("any" if size is None else size for size in expected)
        raise ModelFileError(f"{file}: {name} has shape {actual}; expected {wanted}")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
