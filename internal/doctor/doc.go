// Package doctor looks at a deployment before it serves, and while it does, and says what is wrong and
// what to do about it.
//
// # Words
//
//   - finding: what one look has found. It is ok, a warning (it works, and will not always) or a problem
//     (it does not work). The latter two say what to do.
//   - area: what a finding is about, such as tls or dns.
//
// # How
//
// Examine runs all looks, at the same time but for those of the database, each bounded in time, and
// returns the findings in the order of the areas. A look that cannot be made is a finding, too. The
// looks of the database need one that answers; without it there is one finding that says why.
//
// # What always holds
//
// No look writes to the database, or to files of the deployment. The data directory of an embedded
// database that no server has open is opened as by every command. A look at listeners connects to the
// ports that a server has, and binds the others for a moment. Besides those of the settings, name
// servers are the only machines that are asked.
package doctor
