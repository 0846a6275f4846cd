// Package architecture holds no code. Its tests check which package imports which, as
// docs/architecture.md draws it, so that a shortcut through a wall is noticed when it is made.
package architecture
