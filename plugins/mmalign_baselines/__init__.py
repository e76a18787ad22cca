"""The systems that CADA-VAE is compared with, one module each."""

from mmalign import hookimpl


@hookimpl
def mmalign_methods() -> list[type]:
    """Give the methods."""
    from mmalign_baselines.ale import ALE
    from mmalign_baselines.cmt import CMT
    from mmalign_baselines.cvae import CVAE
    from mmalign_baselines.devise import DeViSE
    from mmalign_baselines.eszsl import ESZSL
    from mmalign_baselines.f_clswgan import FCLSWGAN
    from mmalign_baselines.latem import LATEM
    from mmalign_baselines.revise import ReViSE
    from mmalign_baselines.se import SE
    from mmalign_baselines.sje import SJE
    from mmalign_baselines.sync import SYNC

    return [ALE, CMT, CVAE, ESZSL, FCLSWGAN, LATEM, SE, SJE, SYNC, DeViSE, ReViSE]
