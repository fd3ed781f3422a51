"""Datasets that Keras downloads."""

from pipeline.errors import UserError
from pipeline.sources.source import Source, numbered
from pipeline.terminal.console import buffered_stderr


def load_keras_dataset(name: str) -> Source:
    """Load a dataset of keras.datasets, which is downloaded at first use.

    Raises:
        UserError: The dataset cannot be downloaded.
    """
    with buffered_stderr():
        import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if type(error) is not Exception and not isinstance(error, OSError):
            raise
        raise UserError(
            f"data.source: keras:{name}: cannot be downloaded: {error}; the first use requires internet access; "
            "connect to the internet, or use idx:, npz: or images: with your own files"
        ) from None
    return numbered(name, {"train": train, "test": test})
