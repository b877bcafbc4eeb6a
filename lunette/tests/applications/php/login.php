<?php
session_start();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if ($_POST['password'] !== 'secret') {
        http_response_code(403);
        echo "no\n";
        exit;
    }
    $_SESSION['name'] = $_POST['name'];
    header('Location: /login.php');
    exit;
}
echo isset($_SESSION['name']) ? "hello {$_SESSION['name']}\n" : "who are you\n";
