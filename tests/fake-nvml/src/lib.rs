//! A libnvidia-ml.so.1 without hardware, driven by a scenario.
