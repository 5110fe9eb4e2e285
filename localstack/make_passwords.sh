#!/bin/sh
# Makes the database's passwords, unless they are there: make_passwords.sh FOLDER OWNER.
#
# Run once by docker-compose.yml before MySQL starts. Each file is there whole or not at all, and for
# its owner's eyes alone; nothing is printed.
set -eu
umask 077
cd "$1"

keep() { # what standard input holds, as a file that appears when it is whole
	rm -f "$1.new" # of a start that was cut off
	cat >"$1.new"
	[ -s "$1.new" ] # an empty password is none
	chown "$owner" "$1.new"
	chmod 0400 "$1.new"
	mv "$1.new" "$1"
}

random() { # 48 hexadecimal digits
	od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'
}

owner=$2
[ -s root-password ] || random | keep root-password
[ -s password ] || random | keep password
# The same for MySQL's own client, which takes no file with a password alone.
[ -s client.cnf ] || printf '[client]\nuser=tidegauge\npassword=%s\n' "$(cat password)" | keep client.cnf
