// Package report makes a page for readers of what package result keeps: HTML with charts, or
// Markdown.
//
//	files of lines -> New -> Report -> WriteHTML, WriteMarkdown
//
// # Words
//
//   - subject: a server as one file has it. A report of several subjects compares them with the
//     first, which is the baseline.
//   - section: all lines of one workload and step.
//   - case: one set of parameters within a section. Each row of a table is a case of a subject.
//   - parameter that varies: one with several values in a section. The others stand once above the
//     tables.
//   - noise: how far repeats lie from their median (result.Spread). Without repeats it is unknown,
//     and the report says so instead of giving a verdict.
//
// # What always holds
//
//   - A page is one file: it refers to nothing, has no scripts, and is XML as well as HTML.
//   - Names come from files, which are data: New replaces what is not printable and shortens names
//     (limits.go), and the writers escape the rest.
//   - The same lines make the same bytes.
//   - Verdicts are words. Colours and shapes repeat what words, dashes and legends say.
package report
