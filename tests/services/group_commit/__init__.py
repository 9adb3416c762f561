"""Tests of the group commit: concurrent creates of sprockets in one factory share transactions."""
