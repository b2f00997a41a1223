// Package seal encrypts the values of Secrets so that they may stand in Git: in
// the format of SOPS for age recipients, and in that of Bitnami Sealed Secrets.
//
// Encryption needs fresh random numbers; a tree in Git needs the same bytes for the
// same inputs. So everything that would be random is derived, by HKDF, from a render
// key and from all that the file says: its path, every key and every value in plain
// text, the recipients. One changed character changes every key, so no pair of key and
// nonce ever encrypts two texts. Without the render key nobody can tell anything about
// a value from its ciphertext, however weak it is. With the render key nobody can
// decrypt either, but can confirm a guess of everything in a file at once;
// docs/secrets.md tells what that means.
//
// The package knows texts and keys only: no files, no Kubernetes objects.
package seal
