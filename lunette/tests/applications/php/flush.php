<?php
ob_implicit_flush();
while (ob_get_level()) {
    ob_end_flush();
}
echo "first\n";
flush();
$gate = ini_get('session.save_path') . '/gate';
for ($i = 0; $i < 3000 && !file_exists($gate); $i++) {
    usleep(10000);
    clearstatcache();
}
echo "second\n";
