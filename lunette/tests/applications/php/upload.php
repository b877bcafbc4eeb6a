<?php
move_uploaded_file($_FILES['file']['tmp_name'], ini_get('session.save_path') . '/uploaded');
echo $_FILES['file']['size'], "\n";
