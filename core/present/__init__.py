"""What views and tables show: measures, facts and tables, without Qt."""
