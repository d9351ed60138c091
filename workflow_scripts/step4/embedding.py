"""Speaker embeddings of parts of a sound, with CAM++.

Importing this module imports torch: only the loaders of the engines do it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torchaudio.compliance.kaldi
from torch import Tensor

from workflow_scripts.step4.campplus import DIMENSION, FEATURES, CamPlusPlus
from workflow_scripts.step4.sound import RATE

MINIMUM_FRAMES = 10
"""Features (of 10 ms) below which a voice is not embedded; the network itself needs 3."""


class SpeakerEmbedder:
    """Embeds the masked parts of chunks of sound; loaded once, used for every chunk."""

    def __init__(self, checkpoint: Path, device: torch.device) -> None:
        """Load the checkpoint; nothing in it is executed."""
        self.device = device
        self._network = CamPlusPlus()
        self._network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
        self._network.eval().to(device)

    def features(self, chunk: Tensor) -> Tensor:
        """Return log filterbanks, (frames of 10 ms, 80), of samples from -1 to 1 at 16 kHz, (samples,).

        Always in 32 bits: the energies of loud sound exceed what 16 bits hold.
        """
        with torch.autocast(self.device.type, enabled=False):
            return torchaudio.compliance.kaldi.fbank(
                chunk[None].to(self.device), num_mel_bins=FEATURES, sample_frequency=RATE, dither=0.0
            )

    @torch.inference_mode()
    def embed(self, features: Tensor, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Return one embedding, (192,), of length 1, of the features where `mask` is true; full of NaN when they are too few.

        The mask spans the same time as the features, in frames of any length. As in 3D-Speaker the mean is taken off
        each utterance: here, off the chosen features. To choose features, not to weigh them, is what pyannote does for
        networks that take none (`ONNXWeSpeakerPretrainedSpeakerEmbedding`).
        """
        nearest = np.arange(len(features)) * len(mask) // max(1, len(features))
        chosen = features[torch.from_numpy(mask[nearest]).to(features.device)]
        if len(chosen) < MINIMUM_FRAMES:
            return np.full(DIMENSION, np.nan, dtype=np.float32)
        vector = self._network((chosen - chosen.mean(0))[None])[0].float().cpu().numpy()
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
