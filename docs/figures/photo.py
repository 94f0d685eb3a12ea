"""The photograph of the figures, which ships with scikit-learn, and its edges."""

import numpy as np
from sklearn.datasets import load_sample_image

RGB = load_sample_image("china.jpg").astype(np.float32) / 255  # 427x640
GREY = RGB @ np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601


def edges(grey):
    """Return the steepness of an image: the length of its gradient."""
    return np.hypot(*np.gradient(grey))
