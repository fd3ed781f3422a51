"""The judgement of a network: figures and pictures of its answers on labelled images."""
