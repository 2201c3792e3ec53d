"""How long to wait before trying again, so that those who failed together do not come again together."""


def full_jitter_s(number: int, base_s: float, most_s: float, u: float) -> float:
    """Seconds before retry `number` (from 1 on), for `u` uniform in [0, 1): u min(most, base 2^(number - 1)).

    "Full jitter" (Brooker, Exponential backoff and jitter, AWS Architecture Blog, 2015). Envoy's retries wait likewise;
    its base is 25 ms, its cap ten times the base.
    """
    return u * min(most_s, base_s * 2.0 ** (number - 1))
