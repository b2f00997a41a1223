# Fails if a class has fewer entries now than in the snapshot, or more where there were none
# "before". The two lists come as pass=1 and pass=2.
pass == 1 { now[$1 " " $2 " " $3] = $4; next }
{ class = $1 " " $2 " " $3; want[class] = $4; if (now[class] < $4) wrong = 1 }
END { if (before == 0) for (class in now) if (now[class] > want[class]) wrong = 1; exit wrong }
