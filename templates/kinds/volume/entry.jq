# What a walk finds of an entry, and what the snapshot has of it: type and mode as
# stat prints them in hex, user, group. restic says nothing of what it could not set
# where it is not root: somebody else's group, and the mode that goes with it.

# hex: a number of three digits.
def hex: (. / 256 | floor) as $a | (. / 16 % 16 | floor) as $b | [$a, $b, . % 16] | map("0123456789abcdef"[.:. + 1]) | join("");

# bit: whether a number has it.
def bit($value): (. / $value | floor) % 2;

# entries: those of restic's list that are below the root.
def entries($root):
  inputs | select(.struct_type == "node" or .message_type == "node")
  | select(.path | startswith($root + "/"))
  # Its server makes a socket anew; restic leaves it out, too.
  | select(.type != "socket")
  | select(.path | (. == $root + "/lost+found" or startswith($root + "/lost+found/")) | not);

# class: type and mode, user, group.
def class:
  ({file: "8", dir: "4", symlink: "a", fifo: "1", dev: "6", chardev: "2"}[.type] // "?") as $type
  | ((.mode // 0) | . % 512 + bit(1048576) * 512 + bit(4194304) * 1024 + bit(8388608) * 2048) as $mode
  | "\($type)\(if .type == "symlink" then "1ff" else $mode | hex end) \(.uid // 0) \(.gid // 0)";
