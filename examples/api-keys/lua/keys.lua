-- SHA-256 sums of keys, and whose they are: printf %s KEY | sha256sum
return {
    ["822f310790eda37d8ec28afe6bad8ea087510127b45f7f95ed0a2c25fc3574e2"] = "ann",
}
