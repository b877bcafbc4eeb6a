<?php
if (isset($_GET['late'])) {
    while (ob_get_level()) {
        ob_end_flush();
    }
    echo 'so far';
    flush();
}
posix_kill(posix_getpid(), 9);
sleep(10);
