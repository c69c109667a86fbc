#define CATCH_CONFIG_MAIN  // Catch2 2; version 3 brings its own main in Catch2WithMain
#include "catch.hpp"
