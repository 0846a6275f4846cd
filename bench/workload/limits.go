package workload

import "time"

const (
	// answerTimeout bounds each wait for an answer. It is a limit for servers that hang, not one
	// for slow ones.
	answerTimeout = 5 * time.Minute
	// maxErrors is how many calls of a step may fail before the run ends.
	maxErrors = 10
	// maxShown is how much of a wrong answer an error has.
	maxShown = 200
	// sliceSize is how many octets a partial FETCH asks for, as clients on phones do.
	sliceSize = 64 << 10
	// sampled is how many of the messages that were delivered to a user are read again.
	sampled = 20
	// manyMessages is how many messages a call expunges, copies or moves that is one of many.
	manyMessages = 100
	// minBigMail is the least size of the mail of bigmail: more than its header.
	minBigMail = 1000
	// maxFilled is how many messages are copied into a mailbox at most for a repeat that removes them.
	maxFilled = 10_000
	// churnMessages is how many messages a mailbox of churn has, more or less.
	churnMessages = 30
	// markerEvery and rareEvery say which messages of a folder are markers, and which of these have
	// the rare word.
	markerEvery, rareEvery = 50, 200
	// wordSample is how many mails are read to choose words, wordCandidates how many words are looked
	// for in all mails for each step, maxWords how many different ones are counted.
	wordSample, wordCandidates, maxWords = 2000, 6, 1_000_000
	// minWord and maxWord are the lengths of such words.
	minWord, maxWord = 5, 12
	// arrivalDays is over how many days the arrivals of the messages of a folder are spread.
	arrivalDays = 100
	// settlePeriod is how often a server is asked whether it still works on what it was given,
	// settleSteady how many answers in succession must be the same.
	settlePeriod, settleSteady = 200 * time.Millisecond, 5
	// memorySteady is how many looks at a server's memory in succession must not find less by more
	// than one part in memoryNoise.
	memorySteady, memoryNoise = 12, 50
	// unseenEvery says which messages of a folder are not seen, answeredEvery which are answered.
	unseenEvery, answeredEvery = 5, 7
)
