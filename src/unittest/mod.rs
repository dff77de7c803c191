//! Drivers that step the core by a scripted clock.
