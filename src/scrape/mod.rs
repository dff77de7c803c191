//! Scrape loops.
