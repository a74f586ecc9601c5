"""What the paper leaves open about DFPGnet, as data: each choice, its answers, and the one taken.

A *reading* is one way to understand the paper. ``dfpg readings`` trains the ablation under every
reading that departs from the profile's in a single choice. Section numbers are the paper's;
quotations are short and literal.
"""

from __future__ import annotations

from dataclasses import dataclass

Answer = str | float | bool


@dataclass(frozen=True)
class Choice:
    """One thing that the paper does not settle.

    Attributes:
        name: key in ``results/readings.csv``.
        key: of params.yaml, with dots.
        answers: values of ``key``, the default first. A profile may have another of them: a
            departure is any answer but the profile's.
        wordings: of the answers, as tables and charts name them.
        question: what is left open, in a few words.
        quotation: the sentence, or the part of it, that more than one answer fits.
        section: where it stands.
        why: reason for the default.
        runs: rows of Table 4 that train differently under another answer.
    """

    name: str
    key: str
    answers: tuple[Answer, ...]
    wordings: tuple[str, ...]
    question: str
    quotation: str
    section: str
    why: str
    runs: tuple[str, ...]

    @property
    def default(self) -> Answer:
        """The answer that the profile ``paper`` has."""
        return self.answers[0]


_PRIOR = ("b3", "b4", "b5", "dfpg_b", "b6_ca", "b6_prior")
_TRANSFORMS = _PRIOR[1:]
_JUDGED = _PRIOR[2:]

CHOICES = (
    Choice(
        "prior-reduction",
        "methods.dfpgnet.prior_reduction",
        ("mean_chw", "mean_hw", "sum_hw"),
        (
            "Eq. 9 as a mean over channels and positions",
            "Eq. 9 as a mean over positions",
            "Eq. 9 as the sum that is printed",
        ),
        "whether the prior loss is a sum or a mean, and over what",
        "define our prior loss using L2 distance as follows: [Eq. 9, a sum over i, w and h]",
        "3.3, Eq. 9",
        "the laboratory's released code takes the mean over channels and positions; with the "
        "weight of 1 that the paper states, the printed sum would be ten thousand times the pixel "
        "loss",
        _PRIOR,
    ),
    Choice(
        "prior-scale",
        "methods.dfpgnet.prior_scale",
        ("rms", "none"),
        ("features of one size", "features as large as VGGFace makes them"),
        "how large the ground-truth features are",
        "we employed the VGGFace model",
        "4.1",
        "the size of the features depends on the network that stands in for VGGFace and on its "
        "input, which the paper does not state; at root mean square 1 it is the same for all",
        _JUDGED,
    ),
    Choice(
        "discriminator-input",
        "methods.dfpgnet.discriminator_input",
        ("same_scale", "raw"),
        ("D does not see the size of the features", "D sees the size of the features"),
        "whether the discriminator sees the size of the features",
        "given P (or P-hat) as input, each element P_i (or P-hat_i) is weighted by CA_i",
        "3.3, Eq. 4 and 5",
        "the prior loss does not care how large P-hat is, so a discriminator that sees the size "
        "needs nothing else to tell it from P; at equal size it has to look at the features",
        _JUDGED,
    ),
    Choice(
        "prior-taps",
        "prior.taps",
        ("paper", "released"),
        ("third level behind its rectifier", "third level before its rectifier"),
        "whether the third level is taken behind or before its rectifier",
        "we selected the relu1_2, relu2_2, and relu3_3 layers",
        "4.1",
        "the words are clear; the laboratory's released code takes the third before its rectifier",
        _PRIOR,
    ),
    Choice(
        "prior-input",
        "prior.input",
        ("canonical", "authors"),
        ("VGGFace is given what it was trained on", "VGGFace is given RGB in [-1, 1]"),
        "what the recognition network is given",
        "to extract the ground truth (GT) deep feature prior from the sharp face image",
        "3",
        "what VGGFace was trained on: 0 to 255, blue first, less its mean; the laboratory's "
        "released code gives it RGB in [-1, 1]",
        _PRIOR,
    ),
    Choice(
        "scale-offset",
        "methods.dfpgnet.scale_offset",
        (1, 0),
        ('scale of the transforms with "+ 1"', 'scale of the transforms without "+ 1"'),
        "whether the scale of SSFT and SFT is what the branch returns, or 1 more",
        "scale and shift parameters which have the same size as E_i",
        "3.1 and 3.2, Eq. 1 and 2",
        "the laboratory's released code adds 1, so that an untrained transform passes features on",
        _TRANSFORMS,
    ),
    Choice(
        "prior-fusion",
        "methods.dfpgnet.prior_fusion",
        ("add", "concat"),
        ("prior is added in B3", "prior passes a convolution in B3"),
        "how the prior enters B3's decoder, which has no transform",
        "model B3, which simply adds P [...] without feature transformation modules",
        "4.4",
        "the sum is what the words say, and needs no further layer; a 1x1 convolution of both can "
        "start as one that returns the input",
        ("b3",),
    ),
    Choice(
        "unweighted-prior",
        "methods.dfpgnet.unweighted_prior",
        (True, False),
        ("prior loss in B3 to B5", "no prior loss in B3 to B5"),
        "whether B3 to B5 are trained with a prior loss without channel weights",
        "rather than to weight all channels equally",
        "4.4",
        "section 4.4 speaks of guiding with VGGFace's features in B3, and without a prior loss "
        'nothing in B3 and B4 would know of them; Table 4 marks "Pr" in B6 alone',
        ("b3", "b4", "b5", "b6_ca"),
    ),
    Choice(
        "perceptual-weight",
        "methods.dfpgnet.lambda_perceptual",
        (0.05, 0.005, 0.5),
        (
            "B2's loss weighs 0.05",
            "B2's loss weighs a tenth of it",
            "B2's loss weighs ten times as much",
        ),
        "weight of B2's perceptual loss",
        "trained with the weighted sum of L_pixel and the perceptual loss function",
        "4.4",
        "that of the laboratory's MSPL-GAN; the others are a tenth and ten times of it",
        ("b2",),
    ),
    Choice(
        "perceptual-input",
        "methods.dfpgnet.perceptual_input",
        ("authors", "canonical"),
        ("B2's loss on RGB in [-1, 1]", "B2's loss on VGGFace's own input"),
        "what VGGFace is given in B2's perceptual loss, and with it the loss's size",
        "the perceptual loss function using VGGFace",
        "4.4",
        "as MSPL-GAN's released code, from which the weight is taken",
        ("b2",),
    ),
)


def wording(name: str, answer: str) -> str:
    """How tables name a reading of ``readings.csv``.

    Args:
        name: of a choice; another one, as of the profile's own reading, is returned as it is.
        answer: as text.
    """
    for choice in CHOICES:
        for one, words in zip(choice.answers, choice.wordings, strict=True):
            if (choice.name, f"{one}") == (name, answer):
                return words
    return name
