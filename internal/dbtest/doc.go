// Package dbtest gives tests a fresh database through the official driver.
//
// By default it is on an embedded server in memory, shared by the tests of the process; with
// GADWALL_TEST_MONGODB_URI set, on that MongoDB. A test must not care which. Each database has a name of
// its own and is dropped when its test ends, so tests may run in parallel.
package dbtest
