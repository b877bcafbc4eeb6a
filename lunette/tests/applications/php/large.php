<?php
for ($i = 0; $i < (10 << 18); $i += 4096) {
    echo pack('V*', ...range($i, $i + 4095));
}
