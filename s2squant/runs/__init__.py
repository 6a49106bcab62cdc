"""How a run is planned, carried out side by side, resumed and written."""
