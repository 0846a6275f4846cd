// Package nodetest runs scripts of tests with node, with packages from npm.
//
// A test declares Modules with a package.json and the lock file of it, and calls Run with a script of
// its testdata. The script is a CommonJS module and finds the packages by their names.
//
// # What always holds
//
//   - The tree has no node_modules. npm checks the packages by the hashes of the lock file. They are
//     installed once into the user's cache directory, without their scripts.
//   - A script that throws, or that does not end, fails the test. What it prints is the test's log.
//   - A machine without node or npm skips the test, and the skip names the program.
package nodetest
