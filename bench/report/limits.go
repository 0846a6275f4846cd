package report

// Bounds of a report. What is beyond them is left out of charts, and the report says so.
const (
	// maxName is the longest name of a workload, server or value, in characters.
	maxName = 80
	// maxSeries is how many lines a chart can have before readers cannot tell them apart.
	maxSeries = 8
	// maxCharts is how many charts of one kind a section has.
	maxCharts = 6
)

// leastChange is the share by which a subject must differ to be called faster or slower, however
// little the repeats vary.
const leastChange = 0.05
