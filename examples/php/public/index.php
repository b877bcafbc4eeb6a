<?php
header('Content-Type: text/plain;charset=UTF-8');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
echo $_SERVER['REQUEST_METHOD'], ' ', $path, ' ', http_build_query($_GET);
