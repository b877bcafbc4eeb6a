<?php
foreach (['SCRIPT_NAME', 'PATH_INFO', 'QUERY_STRING', 'REQUEST_URI', 'HTTPS'] as $name) {
    echo "$name=", $_SERVER[$name] ?? '', "\n";
}
