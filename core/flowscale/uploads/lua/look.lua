#!lua flags=no-writes
-- Read an upload.
--
-- Result {'held', record}, or {'none'}.
if not alive() then return { 'none' } end
return { 'held', record() }
