// Package workload measures mail servers as their clients see them: it delivers, reads, searches
// and changes generated mail, checks every answer, and writes a result.Line for each measurement.
//
// # Words
//
//   - workload: one kind of use, such as "fetch". It has steps.
//   - step: what is measured by itself, such as "envelope". Its operation is one load.Op.
//   - folder: the mailbox that the reading workloads share, one for each user, all with the same
//     messages. The suite makes it with the first workload that needs it, and deletes it in the
//     end.
//   - marker: a message of a folder that the suite has written itself, so that searches for its
//     words have a known answer.
//   - own box: a mailbox that one worker changes, so that the worker knows each answer before.
//   - part: something that the calls of a step do, with a line of its own, such as a command of
//     `churn`.
//   - spool: a temporary file with the mails of a workload. They are made before the measurement.
//
// # Flow
//
//	Run -> suite: users, folder -> Workload.open -> steps
//	    -> each: load.Run(step) -> samples -> step.check -> result.Line -> Options.Line
//
// # What always holds
//
//   - Every answer is compared with what the message, or what the worker did before, makes of it.
//     A wrong one is load.ErrWrong, and ends the run without a line of the step. A message that
//     the server has acknowledged and does not show is a wrong answer, too.
//   - The same options ask the same things in the same order of calls.
//   - A worker has connections of its own. They are open before the measurement, but where
//     connecting is what is measured. After an error the worker connects anew.
//   - The end of the context closes all connections, so nothing waits for a server that hangs.
//   - Only `ingest`, `idle`, `bigmail` and `footprint` write into a mailbox that the suite has not
//     made: the INBOX of their users. All but `ingest` take back what they have delivered.
package workload
