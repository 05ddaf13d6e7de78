"""The splitting schemes of the library, coefficients to the last digit of double precision."""

from __future__ import annotations

from ._scheme import Scheme, composed, doubled, palindrome

_HLW = "Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section V.3"
_BM = "Blanes, Moan, J. Comput. Appl. Math. 142 (2002) 313"

YOSHIDA_4 = palindrome(1 / (2 - 2 ** (1 / 3)))
SUZUKI_4 = palindrome(1 / (4 - 4 ** (1 / 3)), 1 / (4 - 4 ** (1 / 3)))
YOSHIDA_6 = palindrome(0.78451361047755726382, 0.23557321335935813368, -1.1776799841788710069)
KAHAN_LI_6 = palindrome(
    0.39216144400731413928, 0.33259913678935943860, -0.70624617255763935981, 0.08221359629355080023
)
YOSHIDA_8 = palindrome(
    0.91484424622979156675, 0.25369333656621135415, -1.4448522368606051577, -0.1582406353680501752,
    1.9381391376225259866, -1.9606102329753108076, 0.1027998493917964407,
)  # fmt: skip
SUZUKI_UMENO_8 = palindrome(
    0.74167036435061295345, -0.40910082580003159400, 0.19075471029623837995, -0.57386247111608226666,
    0.29906418130365592384, 0.33462491824529818378, 0.31529309239676659663,
)  # fmt: skip
KAHAN_LI_8 = palindrome(
    0.13020248308889008088, 0.56116298177510838456, -0.38947496264484728641, 0.15884190655515560090,
    -0.39590389413323757734, 0.18453964097831570709, 0.25837438768632204729, 0.29501172360931029887,
)  # fmt: skip
SOFRONIOU_SPALETTA_10 = palindrome(
    0.07879572252168641926390768, 0.31309610341510852776481247, 0.02791838323507806610952027,
    -0.22959284159390709415121340, 0.13096206107716486317465686, -0.26973340565451071434460973,
    0.07497334315589143566613711, 0.11199342399981020488957508, 0.36613344954622675119314812,
    -0.39910563013603589787862981, 0.10308739852747107731580277, 0.41143087395589023782070412,
    -0.00486636058313526176219566, -0.39203335370863990644808194, 0.05194250296244964703718290,
    0.05066509075992449633587434, 0.04967437063972987905456880,
)  # fmt: skip

SYMPLECTIC_EULER = Scheme("symplectic Euler", 1, (1.0,), (1.0,), True, source=_HLW)
VERLET = Scheme("Störmer-Verlet, kick first", 2, (1.0,), (0.5, 0.5), True, source=_HLW)
VERLET_DRIFT_FIRST = Scheme("Störmer-Verlet, drift first", 2, (0.5, 0.5), (1.0,), False, source=_HLW)
RUTH_3 = Scheme("Ruth 3", 3, (1, -2 / 3, 2 / 3), (-1 / 24, 3 / 4, 7 / 24), False, source="Ruth 1983")

_B1, _B2 = (14 - 19**0.5) / 108, (20 - 7 * 19**0.5) / 108
MCLACHLAN_4 = Scheme(
    "McLachlan 4",
    4,
    palindrome(2 / 5, -1 / 10),
    doubled(_B1, _B2),
    True,
    source="McLachlan, SISC 16 (1995) 151",
)
_XI, _LAMBDA, _CHI = 0.17861789584480906706, -0.21234183106260540383, -0.066264582669818496278
PEFRL = Scheme(
    "position-extended Forest-Ruth-like", 4, palindrome(_XI, _CHI), doubled((1 - 2 * _LAMBDA) / 2), False,
    source="Omelyan, Mryglod, Folk, Comput. Phys. Commun. 146 (2002) 188",
)  # fmt: skip
BLANES_MOAN_4 = Scheme(
    "Blanes-Moan S6, order 4", 4,
    palindrome(0.079203696431195669434, 0.35317290604977398848, -0.042065080357719535368),
    doubled(0.20951510661336202127, -0.14385177317981800828), False, source=_BM,
)  # fmt: skip
BLANES_MOAN_6 = Scheme(
    "Blanes-Moan S10, order 6", 6,
    palindrome(
        0.050262764400392686021, 0.41351430042834381506, 0.045079889794398062969, -0.1880548538195689148,
        0.54196067845078013483,
    ),
    doubled(0.14881644790104323192, -0.13238586576778364745, 0.06730760469218445815, 0.43266640257817359753),
    False, source=_BM,
)  # fmt: skip
SRKN_6B = Scheme(
    "Blanes-Moan SRKN 6b, order 4", 4, doubled(0.2452989571842711626, 0.60487266571107997496),
    palindrome(0.082984406417405018838, 0.39630980149836807709, -0.039056304922348435171),
    True, True, _BM,
)  # fmt: skip
SRKN_11B = Scheme(
    "Blanes-Moan SRKN 11b, order 6", 6,
    palindrome(
        0.12322977594627115156, 0.29055379779955827037, -0.12704921262541691566, -0.24633176106207540419,
        0.35720887279592775262,
    ),
    doubled(
        0.041464998518262843299, 0.19812867191806654114, -0.040006192104152686889, 0.075253984301580341128,
        -0.011511387420687770062,
    ),
    True, True, _BM,
)  # fmt: skip
SRKN_14A = Scheme(
    "Blanes-Moan SRKN 14a, order 6", 6,
    palindrome(
        0.037859319840610941447, 0.10263563310243655285, -0.025867888266558333164, 0.31424140307144643415,
        -0.13014445951741511385, 0.10641770036954136802, -0.0087942431285102043941,
    ),
    doubled(
        0.091719152624462017981, 0.18398317000500489849, -0.056534365832889104395, 0.0049146887747118856402,
        0.14376112716836168239, 0.3285676937468041402,
    ),
    False, True, _BM,
)  # fmt: skip
MCLACHLAN_ATELA_4 = Scheme(
    "McLachlan-Atela 4", 4,
    (0.5153528374311229364, -0.08578201941297364607, 0.44158302361646652425, 0.12884615836538418542),
    (0.13449619927743108921, -0.22481980307942080582, 0.75632000051566829111, 0.3340036032863214255),
    True, True, "McLachlan, Atela, Nonlinearity 5 (1992) 541",
)  # fmt: skip
_ABA_A = (
    0.0711334264982231177779387300061549964174, 0.241153427956640098736487795326289649618,
    0.521411761772814789212136078067994229991, -0.333698616227678005726562603400438876027,
)  # fmt: skip
_ABA_B = (
    0.183083687472197221961703757166430291072, 0.310782859898574869507522291054262796375,
    -0.0265646185119588006972121379164987592663,
)  # fmt: skip
ABA_864 = Scheme(
    "ABA (8, 6, 4)", 4, (*_ABA_A, *reversed(_ABA_A)), palindrome(*_ABA_B), False,
    source="Blanes, Casas, Farrés, Laskar, Makazaga, Murua, Appl. Numer. Math. 68 (2013) 58",
)  # fmt: skip


def of_weights(name: str, order: int, weights: tuple[float, ...], source: str = _HLW) -> Scheme:
    """Compose drift-first Verlet steps.

    Args:
        name: Name.
        order: Order.
        weights: Lengths as shares of h.
        source: Where the weights come from.

    Returns:
        The scheme.
    """
    return composed(name, order, weights, False, source)


SYMMETRIC_WEIGHTS: dict[str, tuple[int, tuple[float, ...]]] = {
    "Yoshida4": (4, YOSHIDA_4),
    "Suzuki4": (4, SUZUKI_4),
    "Yoshida6": (6, YOSHIDA_6),
    "KahanLi6": (6, KAHAN_LI_6),
    "Yoshida8": (8, YOSHIDA_8),
    "SuzukiUmeno8": (8, SUZUKI_UMENO_8),
    "KahanLi8": (8, KAHAN_LI_8),
    "SofroniouSpaletta10": (10, SOFRONIOU_SPALETTA_10),
}
"""Order, and steps as shares of ``h``, of compositions of a symmetric map of order 2."""
