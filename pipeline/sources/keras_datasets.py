"""Datasets that Keras downloads."""

import gzip
import pickle
import zipfile
import zlib

from pipeline.errors import UserError, message_of
from pipeline.sources.source import Source, numbered
from pipeline.terminal.console import buffered_stderr

# Errors of Keras's readers, which accept only arrays in pickles.
_DAMAGES = (
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    gzip.BadGzipFile,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_keras_dataset(name: str) -> Source:
    """Load a dataset of keras.datasets, which is downloaded at first use.

    Raises:
        UserError: The dataset cannot be downloaded, or its files in Keras's cache are damaged.
    """
    with buffered_stderr():
        import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except _DAMAGES as error:
        raise UserError(
            f"data.source: keras:{name}: its files in Keras's cache are damaged: {message_of(error)}; remove them from "
            "~/.keras/datasets, or from the folder datasets in KERAS_HOME"
        ) from None
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if type(error) is not Exception and not isinstance(error, OSError):
            raise
        raise UserError(
            f"data.source: keras:{name}: cannot be downloaded: {message_of(error)}; the first use requires internet "
            "access; connect to the internet, or use idx:, npz: or images: with your own files"
        ) from None
    return numbered(name, {"train": train, "test": test})
