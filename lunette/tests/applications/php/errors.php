<?php
error_log('something is odd');
echo "went on\n";
