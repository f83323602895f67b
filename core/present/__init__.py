"""Measures, facts and tables that views show, without Qt."""
