<?php
http_response_code(418);
header('X-Made: here');
echo "teapot\n";
