#!lua flags=allow-oom
-- Let go of the lock, if it is held still.
--
-- Result 1.
if holds() then let_go() end
return 1
