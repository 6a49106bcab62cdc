"""Every setting, as frozen values; every default of the package lives here, and only here."""
