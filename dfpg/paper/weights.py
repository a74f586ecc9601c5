"""Which weights the authors of a row published, where, and on what they were trained."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class Published(NamedTuple):
    """What a user needs for ``runs.NAME.weights``.

    ``files`` is a sentence: which ones and where, by the repository's name on GitHub, or that
    there are none. ``trained`` says on what; empty where there are none.
    """

    files: str
    trained: str = ""


_MSPL_GAN = Published(
    "netG_last.pth, in the folder that dolphin0104/MSPL-GAN links under Pre-trained Models",
    "trained by its authors on the MSPL data",
)
_RETRAINED = Published("none published: retrained by the paper's authors")
_DFPGNET = Published(
    "none published; a state of the generator class in sujyQ/SAPPGAN is read",
    "trained by its authors",
)
_ABLATION = Published("none published")
PUBLISHED = MappingProxyType(
    {
        "shen2018": Published(
            "net_G_P_S_F.mat and net_P_P_S_F.mat, or both with _GAN, in "
            "joanshen0508/Deep-Semantic-Face-Deblurring",
            "trained by its authors on the Shen data",
        ),
        "lu2019": Published(
            "the face checkpoint (enc_c, enc_a, gen), in the folder that "
            "ustclby/Unsupervised-Domain-Specific-Deblurring links",
            "trained by its authors on CelebA, without pairs; z at its mean",
        ),
        "xia2019": Published(
            "blind/iter_*.model.npz in deblur_models.zip of release v1.0 of likesum/unsupimg",
            "trained by its authors on CelebA and Helen, without sharp images",
        ),
        "yasarla2020": Published(
            "Deblur_epoch_Best.pth and SMaps_Best.pth, pretrained_models/ of "
            "rajeevyasarla/UMSN-Face-Deblurring",
            "trained by its authors on CelebA and Helen",
        ),
        "li2020": Published("those of csxmli2016/DFDNet are not read: other networks"),
        "wang2021": Published(
            "GFPGANCleanv1-NoCE-C2.pth, GFPGANv1.3.pth or GFPGANv1.4.pth, releases of "
            "TencentARC/GFPGAN",
            "trained by its authors on FFHQ, without motion blur; works at 512 px",
        ),
        "zhang2019_generic": Published(
            "the six files encoder_lv1.pkl to decoder_lv3.pkl of DMPHN 1-2-4, linked in "
            "HongguangZhang/DMPHN-cvpr19-master",
            "trained by its authors on GoPro",
        ),
        "nafnet": Published(
            "NAFNet-GoPro-width32.pth, linked in docs/GoPro.md of megvii-research/NAFNet",
            "trained by its authors on pictures without faces (GoPro)",
        ),
        "restormer": Published(
            "motion_deblurring.pth, linked in Motion_Deblurring/README.md of swz30/Restormer",
            "trained by its authors on pictures without faces (GoPro)",
        ),
        "zhang2019_b": _RETRAINED,
        "yasarla2020_b": _RETRAINED,
        **dict.fromkeys(("lee2020_a", "lee2020_b"), _MSPL_GAN),
        **dict.fromkeys(("dfpg_a", "dfpg_b"), _DFPGNET),
        **dict.fromkeys(("b1", "b2", "b3", "b4", "b5", "b6_ca", "b6_prior"), _ABLATION),
    }
)
