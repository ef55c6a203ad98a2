"""The tables and figures of Kong et al. (10.48550/arXiv.2211.03563), computed with ssatom."""
