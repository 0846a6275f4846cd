// Package conformance holds what MongoDB 7.0 documents, as data: small cases in testdata that say
// what a server answers. Its tests run them through the official driver, by default against the
// embedded database, and with GADWALL_TEST_MONGODB_URI set, unchanged, against that MongoDB (a
// replica set). The package itself is empty.
//
// # Words
//
//   - A file of testdata holds groups, a group holds cases. The cases of a group begin with the
//     same documents and indexes in the collection c of a database of their own.
//   - A case is one command or several steps, and what must come of them: the reply, the error, the
//     documents in the order of their _id afterwards.
//   - Expectations come from MongoDB's manual, never from what the embedded database answers. Where
//     the embedded database differs on purpose, docs/embedded-database.md says so and there is no
//     case, or one with "embeddedOnly", whose text is the reason.
//
// # The form of a case
//
// Documents are relaxed extended JSON: 1 is an int32, 1.0 a double. Beside it, {"%string": n} is a
// string of n bytes, {"%nest": n} a document that is n levels deep, {"%items": n} an array of the
// numbers below n, {"%docs": n} as an item of an array stands for n documents {_id: i}, {"%oneOf":
// [...]} in want any of several values where versions differ, and "%name" is a value that an
// earlier step saved.
//
//	docs, indexes    documents of c, and its indexes as createIndexes takes them
//	find, ids        a filter of c, and the _ids it finds in the order of _id
//	run, db          a command and its database (that of the case if there is none)
//	steps            several steps instead of one
//	session          the name of the session a step runs in, whose id is saved as "lsid NAME"; none: that of the case
//	txn              start or go on: the step is a statement of a transaction of its session; unknown: of one that was
//	                 never started; new retry and retry: a retryable write, and the same again; old: one with a number
//	                 below the last
//	want             fields the reply must have; of documents within, only those named are compared
//	absent           dotted fields the reply must not have
//	batch            the documents of the cursor's batch, exactly
//	count            how many documents the batch has
//	error            code, codeName, labels, keyPattern, keyValue of a failed command; codes where versions differ
//	save             name: dotted path of the reply
//	after            the documents of c when all is done, exactly
//	embeddedOnly     why MongoDB is not asked
//
// testdata/versions/since.json lists the cases that hold only from a version of MongoDB on, with the
// reasons. On an older server they are left out.
package conformance
